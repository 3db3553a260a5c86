"""The heartbeat: keeps the worker's retained capability message true."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from clworker.core.presence.messages import Capability
from clworker.core.presence.port import Broadcaster

COALESCED = 0.1
"""Seconds between two messages at the least, however often the state changes."""


class Announcer:
    """Publishes the capability at start, soon after every change, and on every heartbeat."""

    def __init__(
        self, broadcaster: Broadcaster, worker_id: str, task_types: Sequence[str], idle_count: Callable[[], int]
    ) -> None:
        self._broadcaster = broadcaster
        self._worker_id = worker_id
        self._task_types = task_types
        self._idle_count = idle_count
        self._changed = asyncio.Event()
        self._published = 0

    def state_changed(self) -> None:
        """Have the new state published within ``COALESCED`` seconds."""
        self._changed.set()

    async def run(self, heartbeat_interval: float) -> None:
        """Publish for ever; ``heartbeat_interval`` is in seconds."""
        quiet = min(COALESCED, heartbeat_interval)
        while True:
            self._published = self._idle_count()
            self._broadcaster.publish_capability(Capability(self._worker_id, self._task_types, self._published))
            await asyncio.sleep(quiet)
            with suppress(TimeoutError):
                # Not wait_for, which in Python 3.11 can swallow a cancellation.
                async with asyncio.timeout(heartbeat_interval - quiet):
                    await self._until_changed()

    async def _until_changed(self) -> None:
        while self._idle_count() == self._published:
            await self._changed.wait()
            self._changed.clear()
