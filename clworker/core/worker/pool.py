"""The pool of slots: as many as the worker may run jobs at once, each replaced when it wears out."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from clworker.core.settings import Settings
from clworker.core.worker.slots import Nursery, Slot, resident_kib

_log = structlog.get_logger("clworker.worker")


class SlotPool:
    """Keeps ``settings.concurrency`` slots alive and knows which of them are free."""

    def __init__(
        self,
        settings: Settings,
        nursery: Nursery,
        start_nursery: Callable[[], Awaitable[Nursery]],
        end_strays: Callable[[], None] = lambda: None,
    ) -> None:
        """``end_strays`` ends what tasks had started under a nursery that is gone; it may block."""
        self._settings = settings
        self._end_strays = end_strays
        self._nursery = nursery
        self._start_nursery = start_nursery
        self._slots: list[Slot] = []

    @property
    def slots(self) -> list[Slot]:
        """All slots, dead ones among them until they are replaced."""
        return self._slots

    @property
    def plugins_alive(self) -> bool:
        """Whether there is the process that holds the plugins, without which no slot can be replaced."""
        return not self._nursery.has_died

    @property
    def idle(self) -> list[Slot]:
        """The slots that could take a job now."""
        return [slot for slot in self._slots if not slot.busy and not slot.is_gone]

    def watch_deaths(self, on_death: Callable[[], None]) -> None:
        """Have ``on_death`` called whenever a slot has died."""
        self._nursery.on_death = on_death

    async def fill(self) -> None:
        """Replace what has died or is worn out, between jobs. Raises PluginHostFailed."""
        if self._nursery.has_died:
            _log.error("the process that holds the plugins has died; starting it again")
            await self._close_nursery()
            on_death = self._nursery.on_death
            self._nursery = await self._start_nursery()
            self._nursery.on_death = on_death
        for slot in [slot for slot in self._slots if self._is_spent(slot)]:
            self._slots.remove(slot)
            slot.close()
        while len(self._slots) < self._settings.concurrency:
            self._slots.append(await self._nursery.spawn())

    async def close(self) -> None:
        """End every slot and whatever tasks have left behind."""
        await self._close_nursery()
        for slot in self._slots:
            slot.close()

    async def _close_nursery(self) -> None:
        await self._nursery.close()
        await asyncio.to_thread(self._end_strays)

    def _is_spent(self, slot: Slot) -> bool:
        if slot.busy:
            return False  # even of a dead one somebody still reads what it has said
        if slot.has_died:
            return True
        most_jobs, most_memory = self._settings.max_jobs_per_slot, self._settings.max_memory_per_slot_mib
        if most_jobs is not None and slot.jobs_done >= most_jobs:
            _log.info("slot recycled", jobs=slot.jobs_done)
            return True
        if most_memory is not None and (used := resident_kib(slot.pid) // 1024) > most_memory:
            _log.info("slot recycled", memory_mib=used)
            return True
        return False
