"""The one notion of time that is shared with other programs."""

import time


def now_ms() -> int:
    """Return the wall clock as Unix milliseconds, the unit of every time in the contract."""
    return time.time_ns() // 1_000_000
