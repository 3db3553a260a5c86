"""The supervisor: claims jobs, has slots run them, and sees to what dead workers have left."""

from collections.abc import Sequence

import structlog

from clworker.core.errors import StagingFailed, StoreUnavailable
from clworker.core.models import ComputeJob, ComputeJobStatus
from clworker.core.presence.messages import JobEvent
from clworker.core.store.identity import Instance, InstanceLock, remove
from clworker.core.worker.execution import Execution, Surroundings
from clworker.core.worker.outputs import Placement
from clworker.core.worker.slots import Nursery

_log = structlog.get_logger("clworker.worker")


class ComputeWorker:
    """One worker instance over a store and a nursery. It computes nothing itself."""

    def __init__(
        self, around: Surroundings, instance: Instance, lock: InstanceLock, nursery: Nursery, task_types: Sequence[str]
    ) -> None:
        self._around = around
        self._instance = instance
        self._lock = lock
        self._nursery = nursery
        self._task_types = task_types

    async def __aenter__(self) -> "ComputeWorker":
        """Register this instance. Raises StoreUnavailable."""
        instances = self._around.store.instances
        self._lock.needed_as_proof = True
        await self._around.ledger.call(instances.register, self._instance, self._lock.file)
        await self._around.ledger.call(instances.prune)
        return self

    async def __aexit__(self, *_failure: object) -> None:
        """Note the end of this instance, unless a claim of it is left for a rescuer."""
        try:
            ended = await self._around.ledger.call(self._around.store.instances.end, self._instance.instance)
        except StoreUnavailable as failure:
            _log.warning("the worker's end could not be noted", reason=str(failure))
        else:
            self._lock.needed_as_proof = not ended

    async def run_once(self) -> ComputeJob | None:
        """Claim one job, run it and return it as it then stands; None when nothing waited.

        Raises StoreUnavailable.
        """
        around = self._around
        await self.rescue_dead()
        if around.return_jobs.is_set():
            return None
        slot = await self._nursery.spawn()
        claims = await around.ledger.call(around.store.claims.claim, self._instance.instance, self._task_types)
        for claim in claims:
            with structlog.contextvars.bound_contextvars(job_id=claim.job_id, task_type=claim.job.task_type):
                _log.info("job claimed", attempt=claim.attempt)
                await Execution(claim, slot, around).run()
            job = await around.ledger.call(around.store.jobs.get, claim.job_id)
            if job is None:
                raise StagingFailed(f"job {claim.job_id} was deleted while it ran")
            return job
        return None

    async def rescue_dead(self) -> None:
        """Return the jobs of instances that are provably dead. Raises StoreUnavailable."""
        store, call = self._around.store, self._around.ledger.call
        for instance, lock in await call(store.instances.provably_dead):
            for job in await call(store.claims.rescue, instance):
                _log.warning("job of a dead worker rescued", job_id=job.job_id, status=job.status, dead=instance)
                event = JobEvent(job.job_id, ComputeJobStatus(job.status), job.progress)
                self._around.broadcaster.publish_event(event)
                if job.is_final:
                    await self._clear_up(job)
            if await call(store.instances.end, instance):
                remove(lock)

    async def _clear_up(self, job: ComputeJob) -> None:
        """Remove the folders of the attempts at a job that nobody will try again."""
        attempts = await self._around.ledger.call(self._around.store.jobs.attempts, job.job_id)
        *older, last = [attempt.token for attempt in attempts if attempt.ended_at is not None]
        placement = Placement(job.params, self._around.settings.output_roots, last, older)
        await self._around.ledger.call(placement.discard)
