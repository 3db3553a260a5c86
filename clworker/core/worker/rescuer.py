"""Sees to what dead workers have left: their jobs, their folders, their message at the broker."""

import asyncio
import threading
import time
from collections.abc import Sequence

import structlog

from clworker.core.errors import DatabaseTrouble
from clworker.core.models.workers import WorkerRecord
from clworker.core.presence.broadcaster import PATIENCE
from clworker.core.store.identity import Role, is_dead, remove
from clworker.core.store.instances import Registered
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.outputs import Placement

_RECENT_ATTEMPTS = 200
"""How many attempts of a dead instance are cleared up after: more than it can have been busy with."""

Death = tuple[str, int | None]
"""An instance, and the heartbeat at which it stays if only its silence tells that it is dead."""

_log = structlog.get_logger("clworker.worker")


class Rescuer:
    """Takes over from instances that have died. Of two rescuers at once, one acts."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._call = around.ledger.call
        self._clearings: dict[Death, threading.Event] = {}
        """Those that the broker has yet to confirm."""

    async def rescue_dead(self) -> None:
        """Take over from every instance on this machine whose lock is free. Raises StoreUnavailable."""
        for found in await self._call(self._around.store.instances.neighbours):
            if found.record.alive is False:
                await self.rescue(found)

    async def rescue(self, dead: Registered, *, silent: bool = False) -> None:
        """Return the jobs of an instance to the queue and end it.

        Its death is proven, or with ``silent`` judged by the heartbeats that it had made
        when it was looked at. Raises StoreUnavailable.
        """
        store, record = self._around.store, dead.record
        silent_at = record.heartbeat if silent else None
        death = (record.instance, silent_at)
        if death not in self._clearings:  # else all is done but what the broker has yet to confirm
            await self._take_from(record, silent_at)
        # Until the broker has forgotten it the dead one stays in the register, in case that we die too.
        if record.role == Role.RUN and not self._is_forgotten(record.worker_id, death):
            return
        if await self._call(store.instances.end, record.instance, silent_at) and is_dead(dead.lock):
            remove(dead.lock)

    async def _take_from(self, record: WorkerRecord, silent_at: int | None) -> None:
        """Return the jobs of a dead instance and remove what it has left of them."""
        for job in await self._call(self._around.store.rescues.rescue, record.instance, silent_at):
            _log.warning(
                "job of a dead worker rescued",
                job_id=job.job_id,
                status=job.status,
                dead=record.instance,
                worker=record.worker_id,
                host=record.host,
                proof="lock" if silent_at is None else "heartbeats",
            )
            self._around.observer.job_rescued()
            self._around.tell_state(job)
        await self._call(self.clear_up_after, record.instance)

    async def finish(self) -> None:
        """End what only the broker's word was wanting for, if that comes soon. Raises StoreUnavailable."""
        if self._clearings:
            await asyncio.to_thread(wait_for_all, list(self._clearings.values()), PATIENCE)
            await self.rescue_dead()

    def clear_up_after(self, instance: str) -> None:
        """Remove the folders of attempts at jobs that nobody will try again.

        Not only at those just rescued: the dead one, or an earlier rescuer of it, may have
        been killed when a job's end was recorded and its folders were still there.
        """
        jobs = self._around.store.jobs
        for job in jobs.last_ended_by(instance, _RECENT_ATTEMPTS):
            for attempt in jobs.attempts(job.job_id):
                if attempt.ended_at is not None:
                    Placement(job.params, self._around.settings.output_roots, attempt.token).discard()

    def _is_forgotten(self, worker_id: str, death: Death) -> bool:
        """Have the broker forget a dead worker, and tell whether it has."""
        if death not in self._clearings:
            self._clearings[death] = self._clear_presence_of(worker_id, death)
        is_done = self._clearings[death].is_set()
        if is_done:
            del self._clearings[death]
        return is_done

    def _clear_presence_of(self, worker_id: str, death: Death) -> threading.Event:
        """Remove what a dead worker may have left at the broker: a broker that crashed too sends no Will."""

        def still_gone() -> bool:
            try:
                return not self._around.store.instances.is_name_live(worker_id, death)
            except DatabaseTrouble:
                return False  # it may have been started again

        return self._around.broadcaster.clear_retained_of(worker_id, still_gone)


def wait_for_all(events: Sequence[threading.Event], timeout: float) -> None:
    """Wait until all are set, ``timeout`` seconds at most."""
    deadline = time.monotonic() + timeout
    for event in events:
        event.wait(max(0.0, deadline - time.monotonic()))
