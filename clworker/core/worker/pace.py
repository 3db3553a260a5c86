"""How fast tasks are, and so how many jobs a slot may hold at once.

A claim costs a transaction, which a job that takes microseconds should not pay alone. But
what one worker holds, no other can run: only jobs that are over in a moment are held in
numbers, and none of them waits long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clworker.core.models.jobs import ComputeJob

QUICK = 0.005
"""Seconds that a job of a task takes on average, below which a slot may hold several."""

LONGEST_WAIT = 0.02
"""Seconds that a job may wait behind others in a slot."""

MOST_HELD = 64
"""Jobs that a slot may hold, the one that runs among them: so many that a commit is paid by dozens of the shortest."""

_WEIGHT = 0.2
"""Of the latest job in the average.

Which is the geometric one: on a busy machine a slot is held up now and then for many times
what its jobs take, and would be given fewer and fewer of them, at more and more cost for each.
"""

_SHORTEST = 1e-6


class Pace:
    """Knows how long the jobs of each task have taken lately."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def note(self, task_type: str, seconds: float) -> None:
        """Take the time of one job into account."""
        seconds = max(seconds, _SHORTEST)
        before = self._seconds.get(task_type, seconds)
        self._seconds[task_type] = before * (seconds / before) ** _WEIGHT

    def average(self, task_type: str) -> float | None:
        """Return the seconds that jobs of a task have taken lately; None when nobody knows."""
        return self._seconds.get(task_type)

    @property
    def quickest(self) -> float | None:
        """Return the seconds that jobs of the quickest of all known tasks take; None while none is quick."""
        return min((seconds for seconds in self._seconds.values() if seconds < QUICK), default=None)

    def expected(self, job: ComputeJob) -> float | None:
        """Return the seconds that a job will take if it is quick; None when it is not, or nobody knows.

        One that was tried before may have killed its slot, and those that wait behind it with it.
        """
        seconds = self._seconds.get(job.task_type)
        return None if seconds is None or seconds >= QUICK or job.retry_count > 0 else seconds


@dataclass(slots=True)
class Load:
    """What one slot holds: how many jobs, and the seconds until they are done if all are quick."""

    count: int = 0
    seconds: float | None = 0.0
    most: int = MOST_HELD
    ends_soon: bool = False
    """Whether the only job is about to end, so that the next may be there already, quick or not."""

    def takes(self, seconds: float | None, *, tried: bool = False) -> bool:
        """Tell whether it may take one more job of this expected time; ``tried`` if it was before, and failed."""
        if self.count == 0:
            return True
        if self._has_room_for_any:
            return not tried
        return (
            seconds is not None
            and self.seconds is not None
            and self.count < self.most
            and self.seconds + seconds <= LONGEST_WAIT
        )

    def add(self, seconds: float | None) -> None:
        """Take one more job."""
        self.count += 1
        self.seconds = None if seconds is None or self.seconds is None else self.seconds + seconds

    def room(self, quickest: float | None) -> int:
        """Return how many more it could take at the most, if each takes ``quickest`` seconds; None if none is quick."""
        if self._has_room_for_any:
            return 1
        first = int(self.count == 0)
        if self.seconds is None or quickest is None or self.seconds > LONGEST_WAIT:
            return first
        left, most = LONGEST_WAIT - self.seconds, self.most - self.count
        return max(first, most if most * quickest <= left else math.ceil(left / quickest))

    @property
    def _has_room_for_any(self) -> bool:
        return self.ends_soon and self.count == 1 and self.most > 1


def share_out(jobs: Sequence[ComputeJob], loads: Sequence[Load], pace: Pace) -> list[int]:
    """Return for each job, in their order, the number of the slot that takes it.

    The first that no slot takes ends the list, so that none overtakes a better one. Adds to ``loads``.
    """
    takers: list[int] = []
    for job in jobs:
        seconds = pace.expected(job)
        able = [number for number, load in enumerate(loads) if load.takes(seconds, tried=job.retry_count > 0)]
        if not able:
            break
        taker = min(able, key=lambda number: (loads[number].count, number))
        loads[taker].add(seconds)
        takers.append(taker)
    return takers
