"""When a slot is given its next job: a moment before the one that runs is expected to end.

A slot that gets its next job only once the last one is recorded waits for two commits
between them, which a job of some 50 ms feels. What is claimed ahead no other worker can run
meanwhile, so it waits no longer than a moment, and goes back if the one before it takes longer.
"""

import asyncio
from collections.abc import Callable

PATIENCE = 0.02
"""Seconds that a job claimed ahead waits beyond the expected end of the one before it."""


def lead(expected: float) -> float:
    """Return how many seconds before its expected end a job's slot is given the next: times vary by a few percent."""
    return min(0.05, 0.01 + 0.15 * expected)


class LookAhead:
    """The look-ahead of one slot."""

    def __init__(self, ask: Callable[[], object], give_up: Callable[[], object]) -> None:
        """``ask`` has somebody see that this is ``due``; ``give_up`` returns what was given and has not begun."""
        self._ask = ask
        self._give_up = give_up
        self._timer: asyncio.TimerHandle | None = None
        self._lead = 0.0
        self.due = False
        """Whether the next job is to be given now."""
        self.given = False
        """Whether it was, and waits."""

    def job_begins(self, expected: float | None) -> None:
        """A job begins that is expected to take so many seconds; None for no look-ahead."""
        self.stop()
        if expected is not None:
            self._lead = lead(expected)
            self._after(max(0.0, expected - self._lead), self._fall_due)

    def note_given(self) -> None:
        """The next job was handed to the slot."""
        self.due, self.given = False, True
        self._after(self._lead + PATIENCE, self._lose_patience)

    def stop(self) -> None:
        """Give nothing more ahead until another job begins."""
        self.due = self.given = False
        if self._timer is not None:
            self._timer.cancel()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, act)

    def _fall_due(self) -> None:
        self.due = True
        self._ask()

    def _lose_patience(self) -> None:
        self.given = False
        self._give_up()
