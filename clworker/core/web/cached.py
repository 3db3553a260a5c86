"""A value that is made when it is asked for, and then kept for a moment: many clients cost no more than one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

KEPT = 1.0
"""Seconds that a value is kept at the least."""

_SHARE = 10
"""A value that takes long to make is kept for so many times as long, though no longer than ``_LONGEST_KEPT``."""

_LONGEST_KEPT = 5.0


class Cached(Generic[Value]):
    """Has one maker at a time; all who ask meanwhile get what it makes."""

    def __init__(self, make: Callable[[], Awaitable[Value]]) -> None:
        self._make = make
        self._turn = asyncio.Lock()
        self._kept: tuple[Value, float] | None = None

    async def get(self) -> Value:
        """Return the value, made anew if it is old."""
        async with self._turn:
            if self._kept is not None and time.monotonic() < self._kept[1]:
                return self._kept[0]
            began = time.monotonic()
            value = await self._make()
            made = time.monotonic()
            self._kept = value, made + min(_LONGEST_KEPT, max(KEPT, (made - began) * _SHARE))
            return value
