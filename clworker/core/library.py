"""For programs that embed clworker's core: the engine's repository protocol over our store."""

from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from cl_ml_tools import Job

from clworker.core.errors import ClaimLost, StoreUnavailable
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus, NewJob
from clworker.core.store.identity import Instance, InstanceLock, Role, mark_started
from clworker.core.store.store import Store

_HEARTBEAT_INTERVAL = 30.0
_FIELDS = {"status", "progress", "output", "error_message", "started_at", "completed_at", "retry_count", "priority"}
_AMENDABLE = {"progress", "output", "error_message", "retry_count", "priority"}


class SQLAlchemyJobRepository:
    """Implements ``cl_ml_tools.JobRepository`` over a Store.

    A job fetched here is claimed as a worker claims it: its updates are fenced, and refused
    once the claim is lost. Use one repository in one thread, and close it at the end. From
    the first claim on, a thread of its own writes the heartbeats that others judge it by.
    """

    def __init__(self, store: Store, worker_id: str = "library") -> None:
        self._store = store
        self._worker_id = worker_id
        self._claims: dict[str, Claim] = {}
        self._instance: Instance | None = None
        self._lock: InstanceLock | None = None
        self._closed = Event()
        self._heart: Thread | None = None

    def add_job(self, job: Job, created_by: str | None = None, priority: int | None = None) -> str:
        """Queue a job and return its id. Raises StoreUnavailable."""
        wanted = {} if priority is None else {"priority": priority}
        self._store.jobs.add(NewJob(job.job_id, job.task_type, job.params, created_by=created_by, **wanted))
        return job.job_id

    def get_job(self, job_id: str) -> Job | None:
        """Return the job, or None when there is no such job."""
        found = self._store.jobs.get(job_id)
        return None if found is None else _engine_job(found)

    def update_job(self, job_id: str, **kwargs: Any) -> bool:
        """Update ``status``, ``progress``, ``task_output`` (or ``output``), ``error_message`` and the like.

        False when there is no such job, or when it was fetched here and the claim is lost.
        Raises TypeError for a field that is none of a job's.
        """
        fields = {("output" if name == "task_output" else name): value for name, value in kwargs.items()}
        unknown = sorted(set(fields) - _FIELDS)
        if unknown:
            raise TypeError(f"no such field of a job: {', '.join(unknown)}")
        claim = self._claims.get(job_id)
        if claim is None:
            return self._store.jobs.update(job_id, **fields)
        try:
            self._update_claimed(claim, fields)
        except ClaimLost:
            del self._claims[job_id]
            return False
        return True

    def fetch_next_job(self, task_types: Sequence[str]) -> Job | None:
        """Claim the next queued job of these types, atomically; None when nothing waits."""
        for claim in self._store.claims.claim(self._registered().instance, task_types):
            self._claims[claim.job_id] = claim
            self._mark_started()
            return _engine_job(claim.job)
        return None

    def delete_job(self, job_id: str) -> bool:
        """Delete the job's row; False when there is none. Its files are left alone."""
        self._claims.pop(job_id, None)
        return self._store.jobs.delete(job_id)

    def close(self) -> None:
        """Return what was fetched and not ended, uncounted, and end this instance."""
        self._closed.set()
        if self._heart is not None:
            self._heart.join()
        for claim in self._claims.values():
            try:
                self._store.claims.give_back(claim, Cause.STOPPED, counted=False)
            except ClaimLost:
                continue
        self._claims.clear()
        if self._instance is not None and self._lock is not None:
            self._lock.needed_as_proof = not self._store.instances.end(self._instance.instance)
            self._lock.__exit__()
        self._instance = self._lock = None

    def _registered(self) -> Instance:
        if self._instance is None:
            instance = Instance.new(self._worker_id, Role.LIBRARY, _HEARTBEAT_INTERVAL)
            self._lock = InstanceLock(self._store.database.home, instance)
            self._store.instances.register(instance, self._lock.file)
            self._instance = instance
            self._closed.clear()
            self._heart = Thread(target=self._beat, args=[instance], name="clworker-heartbeat", daemon=True)
            self._heart.start()
        return self._instance

    def _beat(self, instance: Instance) -> None:
        while not self._closed.wait(instance.heartbeat_interval):
            with suppress(StoreUnavailable):
                if not self._store.instances.beat(instance.instance):
                    self._store.instances.regain(instance.instance)

    def _mark_started(self) -> None:
        assert self._lock is not None
        # In this order no mark of a running job is overwritten before it stands elsewhere.
        for place, claim in enumerate(self._claims.values()):
            mark_started(self._lock.fd, place, claim.token)

    def _update_claimed(self, claim: Claim, fields: dict[str, Any]) -> None:
        status = ComputeJobStatus(fields.get("status", ComputeJobStatus.PROCESSING))
        if status is ComputeJobStatus.QUEUED:
            self._store.claims.give_back(claim, Cause.STOPPED, counted=False)
        elif status is ComputeJobStatus.PROCESSING:
            # started_at is the claim's witness; it and the end's time are not the caller's to set.
            amended = {name: value for name, value in fields.items() if name in _AMENDABLE}
            if "progress" in amended:
                amended["progress"] = max(0, min(99, int(amended["progress"])))
            self._store.claims.amend(claim, **amended)
            return
        else:
            cause = Cause.COMPLETED if status is ComputeJobStatus.COMPLETED else Cause.FAILED
            outcome = Outcome(status, cause, fields.get("output"), fields.get("error_message"))
            self._store.claims.finish(claim, outcome)
        del self._claims[claim.job_id]


def _engine_job(job: ComputeJob) -> Job:
    return Job(
        job_id=job.job_id,
        task_type=job.task_type,
        params=job.params if isinstance(job.params, dict) else {},
        status=job.status,
        progress=max(0, min(100, job.progress)),
        task_output=job.output if isinstance(job.output, dict) else None,
        error_message=job.error_message,
    )
