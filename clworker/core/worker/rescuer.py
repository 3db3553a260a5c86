"""Sees to what dead workers have left: their jobs, their folders, their message at the broker."""

import structlog

from clworker.core.errors import DatabaseTrouble
from clworker.core.models import ComputeJob
from clworker.core.store.identity import Role, remove
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.outputs import Placement

_log = structlog.get_logger("clworker.worker")


class Rescuer:
    """Takes over from instances that are provably dead. Of two rescuers at once, one acts."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._call = around.ledger.call

    async def rescue_dead(self) -> frozenset[str]:
        """Return the jobs of every instance on this machine whose lock is free; tell who is registered.

        Raises StoreUnavailable.
        """
        store = self._around.store
        survey = await self._call(store.instances.survey)
        for instance, lock in survey.dead:
            record = await self._call(store.instances.get, instance)
            for job in await self._call(store.claims.rescue, instance):
                _log.warning("job of a dead worker rescued", job_id=job.job_id, status=job.status, dead=instance)
                self._around.tell_state(job)
                if job.is_final:
                    await self._clear_up(job)
            if await self._call(store.instances.end, instance):
                remove(lock)
                if record is not None and record.role == Role.RUN:
                    self._clear_presence_of(record.worker_id)
        return survey.registered

    async def _clear_up(self, job: ComputeJob) -> None:
        """Remove the folders of the attempts at a job that nobody will try again."""
        attempts = await self._call(self._around.store.jobs.attempts, job.job_id)
        *older, last = [attempt.token for attempt in attempts if attempt.ended_at is not None]
        await self._call(Placement(job.params, self._around.settings.output_roots, last, older).discard)

    def _clear_presence_of(self, worker_id: str) -> None:
        """Remove what a dead worker may have left at the broker: a broker that crashed too sends no Will."""

        def still_gone() -> bool:
            try:
                return not self._around.store.instances.is_name_live(worker_id)
            except DatabaseTrouble:
                return False  # it may have been started again

        self._around.broadcaster.clear_retained_of(worker_id, still_gone)
