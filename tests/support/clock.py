"""A clock that the tests set, in the place of the store's: the real one cannot be told to jump."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from clworker.core.store import attempts, care, claims, ends, instances, jobs, queue, rescues

NOON = 1_700_000_000_000


class Clock:
    """A wall clock in Unix milliseconds that stands still until it is moved."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@contextmanager
def stopped_clock(now: int = NOON) -> Iterator[Clock]:
    """Have the whole store read a clock that only the test moves."""
    clock = Clock(now)
    with ExitStack() as stack:
        for module in (attempts, care, claims, ends, instances, jobs, queue, rescues):
            stack.enter_context(patch.object(module, "now_ms", clock))
        yield clock
