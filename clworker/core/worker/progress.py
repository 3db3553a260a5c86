"""A job's progress, written no more often than anybody needs to see it."""

import asyncio
from collections.abc import Awaitable, Callable

PROGRESS_EVERY = 0.5
"""Seconds between two writes of one job's progress."""


class ProgressWriter:
    """Saves the latest percent, the first at once and the others in their time."""

    def __init__(self, save: Callable[[int], Awaitable[None]]) -> None:
        self._save = save
        self._latest: int | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, percent: int) -> None:
        """Have this percent saved soon, unless a later one comes before."""
        self._latest = percent
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    def stop(self) -> None:
        """Save nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _write(self) -> None:
        while (percent := self._latest) is not None:
            self._latest = None
            await self._save(percent)
            await asyncio.sleep(PROGRESS_EVERY)
