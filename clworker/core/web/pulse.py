"""Shows from outside that the supervisor's loop turns, and how the worker stood when it last did."""

import asyncio
import time
from collections.abc import Callable

from clworker.core.worker.situation import Situation

BEAT = 1.0
"""Seconds between two looks at the worker, in its own loop."""


class Pulse:
    """Made and started in the loop that it shows; read from any thread."""

    def __init__(self) -> None:
        self.situation: Situation | None = None
        """None until there is a worker."""
        self._beaten_at = time.monotonic()
        self._ask: Callable[[], Situation] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def silence(self) -> float:
        """Seconds since the loop has turned."""
        return max(0.0, time.monotonic() - self._beaten_at)

    def start(self) -> None:
        """Beat from now on."""
        if self._ask is not None:
            self.situation = self._ask()
        self._beaten_at = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(BEAT, self.start)

    def watch(self, ask: Callable[[], Situation]) -> None:
        """Have ``ask`` called with every beat; it says how the worker stands."""
        self._ask = ask

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
