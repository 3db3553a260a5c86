"""Waiting for a condition with a deadline: no test sleeps for luck."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Value = TypeVar("Value")

TIMEOUT = 60.0
"""Seconds after which something is taken for lost: a busy machine starts a worker in 20."""


def wait_until(condition: Callable[[], Value], what: str, timeout: float = TIMEOUT) -> Value:
    """Return the first true value of ``condition``; fail the test after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        begun = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        assert now < deadline, f"waited {timeout:g} s in vain until {what}"
        time.sleep(max(0.01, 4 * (now - begun)))  # whoever waits leaves the processors to those that it waits for


@contextmanager
def deadline(what: str) -> Iterator[None]:
    """Fail the test when the block, in the main thread, takes longer than ``TIMEOUT``."""

    def give_up(_number: int, _frame: object) -> None:
        raise TimeoutError(f"waited {TIMEOUT:g} s in vain for the end of {what}")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
