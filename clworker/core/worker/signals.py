"""SIGINT and SIGTERM as events of the loop; the old handlers come back at the end."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clworker.core.errors import Interrupted
from clworker.core.models.attempts import signal_name

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """What the signals have asked for so far."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.signal_number: int | None = None

    def receive(self, number: int) -> None:
        """Take note of a signal."""
        if self.first.is_set():
            self.second.set()
        self.signal_number = number
        self.first.set()

    async def first_or(self, other: "asyncio.Task[Any]") -> None:
        """Wait for the first signal or for the end of another task, whose result is not looked at."""
        stopped = asyncio.create_task(self.first.wait())
        await asyncio.wait({stopped, other}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()

    def interruption(self, what: str) -> Interrupted:
        """Return the error that says which signal has stopped the program, and what became of its work."""
        number = self.signal_number or 0
        return Interrupted(number, f"stopped by {signal_name(number)}: {what}")


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch the stopping signals while the block runs. Only in the main thread."""
    loop = asyncio.get_running_loop()
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        loop.add_signal_handler(number, request.receive, number)
    try:
        yield request
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
