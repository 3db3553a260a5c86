"""What becomes of the jobs of an instance that is dead, or that another one ends."""

from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.models.attempts import Cause, Claim
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.store.attempts import close_attempt, close_attempts
from clworker.core.store.claims import update_held
from clworker.core.store.database import Database, again_on_conflict
from clworker.core.store.identity import current_boot_id, started_tokens
from clworker.core.store.instances import lock_of
from clworker.core.store.rows import job_of
from clworker.core.store.schema import JobsTable
from clworker.core.store.tables import attempts, instances


class Rescues:
    """Takes jobs from instances, over one database. Of two rescuers at once, one acts."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs

    @again_on_conflict
    def rescue(self, instance: str, silent_at: int | None = None) -> list[ComputeJob]:
        """Take the jobs of a dead instance from it; return them as they now stand.

        A job that had started costs a retry, and ends in ``error`` when none is left. The
        caller has proven the death, or judges by heartbeats that stay at ``silent_at``: then
        nothing is done if they have gone on. Raises StoreUnavailable.
        """
        with self._database.write() as connection:
            worker = _locked(connection, instance)
            if silent_at is not None and (worker is None or worker.heartbeat != silent_at):
                return []
            rescued = [
                self._rescue_one(connection, claim, started, _obituary(worker, silent_at))
                for claim, started in self._open_claims(connection, instance, _started_tokens(worker))
            ]
            close_attempts(connection, Cause.SUPERSEDED, None, attempts.c.instance == instance)
            self._database.announce(connection)
        return rescued

    @again_on_conflict
    def take_over(self, instance: str) -> list[ComputeJob]:
        """End an instance in favour of another; its jobs go back to the queue uncounted.

        Returns them as they now stand. Raises StoreUnavailable.
        """
        with self._database.write() as connection:
            _locked(connection, instance)
            claims = [claim for claim, _ in self._open_claims(connection, instance, None)]
            for claim in claims:
                update_held(connection, self._jobs, claim, status=str(ComputeJobStatus.QUEUED), progress=0)
            freed = [self._job(connection, claim.job_id) for claim in claims]
            close_attempts(connection, Cause.TAKEOVER, None, attempts.c.instance == instance)
            connection.execute(instances.update().where(instances.c.instance == instance).values(ended_at=now_ms()))
            self._database.announce(connection)
        return freed

    def _open_claims(
        self, connection: sa.Connection, instance: str, marked: frozenset[str] | None
    ) -> list[tuple[Claim, bool]]:
        """Return the claims that an instance holds, each with whether its job had started."""
        jobs = self._jobs.columns
        held = (
            sa.select(attempts.c.token, attempts.c.started_at, attempts.c.handed_at, *self._jobs.selected())
            .join(self._jobs.table, jobs.job_id == attempts.c.job_id)
            .where(
                attempts.c.instance == instance,
                attempts.c.ended_at.is_(None),
                self._jobs.has_status(ComputeJobStatus.PROCESSING),
                jobs.started_at == attempts.c.started_at,
            )
            .order_by(jobs.id)
            .with_for_update(of=self._jobs.table)
        )
        claims = []
        for row in connection.execute(held).all():
            token, started_at, handed_at, *_ = row
            started = handed_at is not None and (marked is None or token in marked)
            claims.append((Claim(job_of(row), token, started_at), started))
        return claims

    def _rescue_one(self, connection: sa.Connection, claim: Claim, started: bool, obituary: str) -> ComputeJob:
        job = claim.job
        fields: dict[str, Any]
        if started and job.retry_count >= job.max_retries:
            message = f"{obituary} while it ran the job, attempt {claim.attempt} of {job.max_retries + 1}"
            ended_at = max(now_ms(), claim.started_at)
            fields = {"status": str(ComputeJobStatus.ERROR), "error_message": message, "completed_at": ended_at}
        else:
            retries = {"retry_count": job.retry_count + 1} if started else {}
            fields = {"status": str(ComputeJobStatus.QUEUED), "progress": 0, **retries}
        update_held(connection, self._jobs, claim, **fields)
        close_attempt(connection, Cause.RESCUED, claim)
        return self._job(connection, job.job_id)

    def _job(self, connection: sa.Connection, job_id: str) -> ComputeJob:
        return job_of(connection.execute(self._jobs.with_id(job_id)).one())


def _locked(connection: sa.Connection, instance: str) -> sa.Row[Any] | None:
    """Return an instance's row, which nobody else changes now: it neither beats nor claims."""
    query = sa.select(instances).where(instances.c.instance == instance).with_for_update()
    return connection.execute(query).one_or_none()


def _started_tokens(worker: sa.Row[Any] | None) -> frozenset[str] | None:
    # What a crash of the host has left of the file is no proof that a job had not started.
    return started_tokens(lock_of(worker)) if worker is not None and worker.boot_id == current_boot_id() else None


def _obituary(worker: sa.Row[Any] | None, silent_at: int | None) -> str:
    who = "the worker" if worker is None else f"worker {worker.worker_id} on host {worker.host}"
    return f"{who} died" if silent_at is None else f"{who} fell silent"
