"""Waiting for a condition with a deadline: no test sleeps for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

TIMEOUT = 60.0
"""Seconds after which something is taken for lost: a busy machine starts a worker in 20."""


def wait_until(condition: Callable[[], Value], what: str, timeout: float = TIMEOUT) -> Value:
    """Return the first true value of ``condition``; fail the test after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain until {what}"
        time.sleep(0.01)
