"""The supervisor's writes to the store: in a thread of their own, and tried until they are kept.

No database call ever blocks the event loop, and all share one thread and so one connection.
"""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, repeat
from typing import ParamSpec, TypeVar

from clworker.core.errors import StoreUnavailable
from clworker.core.worker.outage import Outage

Given = ParamSpec("Given")
Result = TypeVar("Result")

LAST_PATIENCE = 45.0
"""Seconds that a stopping worker still tries to keep what it has to say of a job."""

_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Ledger:
    """Runs store calls for the event loop, one at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def call(self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Run ``function`` in the store's thread; what it raises comes out here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    async def insist(
        self,
        what: str,
        give_up: asyncio.Event,
        function: Callable[Given, Result],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Result:
        """Run ``function`` again and again while the database is out of reach.

        Logs each reason once and the recovery, not each try. Raises StoreUnavailable only
        ``LAST_PATIENCE`` seconds after ``give_up`` was set, and whatever else the function
        raises at once, DatabaseLost among it.
        """
        outage = Outage("database out of reach; trying again until it is back", what=what)
        pauses = chain(_PAUSES, repeat(_PAUSES[-1]))
        last_try = math.inf
        while True:
            try:
                result = await self.call(function, *args, **kwargs)
            except StoreUnavailable as failure:
                if give_up.is_set():
                    last_try = min(last_try, time.monotonic() + LAST_PATIENCE)
                if time.monotonic() >= last_try:
                    raise
                outage.failed(str(failure))
                await _pause(give_up, next(pauses))
            else:
                outage.over()
                return result

    def close(self) -> None:
        """Wait for the call that is under way and end the thread."""
        self._thread.shutdown()


async def _pause(give_up: asyncio.Event, seconds: float) -> None:
    if give_up.is_set():
        await asyncio.sleep(seconds)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await give_up.wait()
