"""The supervisor's writes to the store: in a thread of their own, and tried until they are kept.

No database call ever blocks the event loop, and all share one thread and so one connection.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

import structlog

from clworker.core.errors import StoreUnavailable

Given = ParamSpec("Given")
Result = TypeVar("Result")

_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_log = structlog.get_logger("clworker.worker")


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

        Logs the first failure and the recovery, not each try. Raises StoreUnavailable only
        once ``give_up`` is set, and whatever else the function raises at once.
        """
        failures = 0
        while True:
            try:
                result = await self.call(function, *args, **kwargs)
            except StoreUnavailable as failure:
                if give_up.is_set():
                    raise
                if failures == 0:
                    _log.warning("database out of reach; trying again until it is back", what=what, reason=str(failure))
                await _pause(give_up, _PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
            else:
                if failures:
                    _log.info("database is back", what=what, failures=failures)
                return result

    def close(self) -> None:
        """Wait for the call that is under way and end the thread."""
        self._thread.shutdown()


async def _pause(give_up: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await give_up.wait()
