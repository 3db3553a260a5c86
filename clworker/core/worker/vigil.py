"""Tells by heartbeats which other workers have died, on this process's own clock alone.

Clocks of two hosts never meet here, so no jump of one can matter. What could still deceive
is a stall of everybody at once, by a locked database or a suspended host. So a judge must
itself have renewed, and on time, all the while: one that was late begins to watch anew.
"""

import time
from collections.abc import Callable, Iterable

from clworker.core.models.workers import WorkerRecord

HEARTBEATS = 3
"""So many of its heartbeats a worker may miss."""

_LATE = 1.5
"""Intervals between two heartbeats of our own, beyond which we were late ourselves."""


class Vigil:
    """Watches the heartbeat counters of other workers."""

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``interval`` is the seconds between this process's own heartbeats."""
        self._interval = interval
        self._clock = clock
        self._last_renewed = float("-inf")
        self._on_time_since = float("inf")
        self._seen: dict[str, tuple[int, float]] = {}

    def renewed(self) -> None:
        """Note that a heartbeat of our own was just written."""
        now = self._clock()
        if not self._is_on_time(now):
            self._on_time_since = now
        self._last_renewed = now

    def silent(self, others: Iterable[WorkerRecord]) -> list[WorkerRecord]:
        """Return those of ``others``, all that there are, that have missed three heartbeats.

        A heartbeat counts as long as the longer of its interval and ours: we can vouch for
        no shorter stall than our own heartbeats would show.
        """
        now = self._clock()
        others = list(others)
        self._seen = {other.instance: self._last_change(other, now) for other in others}
        if not self._is_on_time(now):
            return []
        return [other for other in others if now - self._watched_since(other) >= self._patience(other)]

    def _is_on_time(self, now: float) -> bool:
        return now - self._last_renewed <= _LATE * self._interval

    def _last_change(self, other: WorkerRecord, now: float) -> tuple[int, float]:
        heartbeat, since = self._seen.get(other.instance, (None, now))
        return (other.heartbeat, since if heartbeat == other.heartbeat else now)

    def _watched_since(self, other: WorkerRecord) -> float:
        return max(self._seen[other.instance][1], self._on_time_since)

    def _patience(self, other: WorkerRecord) -> float:
        return HEARTBEATS * max(self._interval, other.heartbeat_interval_ms / 1000)
