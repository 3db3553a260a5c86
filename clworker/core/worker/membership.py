"""This worker's place in the register, and its part in watching over the other places."""

import asyncio
import time
from contextlib import suppress

import structlog

from clworker.core.errors import DatabaseTrouble, StoreUnavailable
from clworker.core.store.identity import Instance
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.rescuer import Rescuer
from clworker.core.worker.vigil import Vigil

WATCH_EVERY = 0.5
"""Seconds between two looks for workers of this machine that have died, and for one that has taken over from us."""

_LOOKS_A_HEARTBEAT = 10
"""At the workers of all machines, whose silence takes longer to tell; each looks at all others."""

_log = structlog.get_logger("clworker.worker")


class Membership:
    """Kept by heartbeats; lost only to another worker that takes over the name."""

    def __init__(self, around: Surroundings, instance: Instance) -> None:
        self._store = around.store
        self._call = around.ledger.call
        # A thread of their own for the heartbeats: an exchange may wait long, such as for a file server.
        self._pulse = Ledger()
        self._instance = instance.instance
        self._interval = instance.heartbeat_interval
        self._rescuer = Rescuer(around)
        self._loop = asyncio.get_running_loop()
        self._vigil = Vigil(instance.heartbeat_interval)
        self._everyone_due = float("-inf")
        self.taken_over = asyncio.Event()

    async def beat(self) -> None:
        """Write heartbeats for ever."""
        while True:
            await asyncio.sleep(self._interval)
            with suppress(StoreUnavailable):
                await self.renew()

    async def renew(self) -> None:
        """Write one heartbeat, and notice when the place is lost. Raises StoreUnavailable."""
        if await self._pulse.call(self.is_member):
            self._vigil.renewed()
        else:
            self.taken_over.set()

    async def close(self) -> None:
        """Have the heartbeat that may be under way end, and none follow."""
        await asyncio.to_thread(self._pulse.close)

    def is_member(self) -> bool:
        """Write one heartbeat and tell whether the place is ours; blocks. Raises StoreUnavailable.

        A worker that was stopped or cut off may have been given up for dead meanwhile. Its
        claims are gone then; its place it takes back, unless another has the name.
        """
        instances = self._store.instances
        if instances.beat(self._instance):
            return True
        if not instances.regain(self._instance):
            return False
        _log.warning("this worker was silent and given up for dead; its jobs went to others, and it goes on")
        return True

    def may_connect(self) -> bool:
        """Tell whether the name at the broker is still ours. To be asked from another thread; blocks."""
        try:
            # Looked up first, which waits for no lock.
            live = self._store.instances.is_live(self._instance) or self.is_member()
        except DatabaseTrouble:
            return True  # nobody can have taken over through a database that is away
        if not live:
            self._loop.call_soon_threadsafe(self.taken_over.set)
        return live

    async def watch(self) -> None:
        """Look after the other workers for ever."""
        while True:
            with suppress(StoreUnavailable):
                await self._look()
            await asyncio.sleep(WATCH_EVERY)

    async def _look(self) -> None:
        instances, now = self._store.instances, time.monotonic()
        is_everyone_due = now >= self._everyone_due
        found = await self._call(instances.survey if is_everyone_due else instances.neighbours)
        others = [entry for entry in found if entry.record.instance != self._instance]
        if len(others) == len(found):
            await self.renew()
        for entry in others:
            if entry.record.alive is False:
                await self._rescuer.rescue(entry)
        if is_everyone_due:
            self._everyone_due = now + watch_everyone_every(self._interval)
            undecided = [entry for entry in others if entry.record.alive is not False]
            silent = self._vigil.silent(entry.record for entry in undecided)
            for entry in undecided:
                if entry.record in silent:
                    await self._rescuer.rescue(entry, silent=True)


def watch_everyone_every(heartbeat_interval: float) -> float:
    """Return the seconds between two looks at the workers of all machines."""
    return max(WATCH_EVERY, heartbeat_interval / _LOOKS_A_HEARTBEAT)
