"""What has become of this worker's jobs in the last minutes, for the charts."""

import time
from collections.abc import Callable
from dataclasses import dataclass

SPAN = 10.0
"""Seconds that are added up in one entry."""

ENTRIES = 60


@dataclass(slots=True)
class Entry:
    """The jobs that ended within one span. Waiting times are in seconds."""

    number: int = -1
    completed: int = 0
    failed: int = 0
    waited: float = 0.0
    longest_wait: float = 0.0

    @property
    def average_wait(self) -> float | None:
        """How long a job waited; None when none ended."""
        ended = self.completed + self.failed
        return self.waited / ended if ended else None


class History:
    """The last spans. Noted in one thread, read in any: an entry is a little behind at worst."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ring = [Entry() for _ in range(ENTRIES)]

    def note(self, *, completed: bool, waited: float) -> None:
        """Note a job that has ended now."""
        number = int(self._clock() // SPAN)
        entry = self._ring[number % ENTRIES]
        if entry.number != number:
            entry = self._ring[number % ENTRIES] = Entry(number)
        if completed:
            entry.completed += 1
        else:
            entry.failed += 1
        entry.waited += waited
        entry.longest_wait = max(entry.longest_wait, waited)

    def entries(self) -> list[Entry]:
        """Return all spans, empty ones too, oldest first; the last is not over yet."""
        last = int(self._clock() // SPAN)
        found = [(number, self._ring[number % ENTRIES]) for number in range(last - ENTRIES + 1, last + 1)]
        return [entry if entry.number == number else Entry(number) for number, entry in found]
