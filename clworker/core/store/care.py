"""What an operator does to jobs by hand: cancelling them, and having them tried again.

Every job is judged and changed within one write transaction, so that no claim, outcome or
rescue comes in between. An attempt that was open is closed; its holder finds its claim gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.errors import JobNotFound
from clworker.core.models.attempts import Cause
from clworker.core.models.jobs import CANCELLED, ComputeJob, ComputeJobStatus
from clworker.core.models.workers import WorkerRecord
from clworker.core.store.database import Database, again_on_conflict
from clworker.core.store.instances import record_of
from clworker.core.store.rows import job_of
from clworker.core.store.schema import JobsTable
from clworker.core.store.tables import attempts
from clworker.core.times import as_time


class Action(StrEnum):
    """What became of a job."""

    CANCELLED = "cancelled"
    QUEUED = "queued"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Cared:
    """A job as it now stands, what was done to it, and why or with which reservation."""

    job: ComputeJob
    action: Action
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _Holder:
    """Whose claim on a processing job is open; without an instance, that one is not registered any more."""

    record: WorkerRecord | None

    @property
    def is_gone(self) -> bool:
        return self.record is None or self.record.alive is False


class Care:
    """The operator's writes, over one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs

    @again_on_conflict
    def cancel(self, job_ids: Sequence[str]) -> list[Cared]:
        """End jobs that are queued or processing, whoever holds them, as ``error``.

        Final ones are refused. All in one transaction. Raises JobNotFound for one that is
        not there, and StoreUnavailable; then nothing is changed.
        """
        with self._database.write() as connection:
            self._jobs.lock(connection, self._jobs.columns.job_id.in_(job_ids))
            return [self._cancel(connection, self._job(connection, job_id)) for job_id in job_ids]

    @again_on_conflict
    def retry(self, job_ids: Sequence[str], *, force: bool) -> list[Cared]:
        """Queue jobs again that ended in ``error``, with all their retries before them.

        With ``force`` also processing ones that no instance of ours holds which may still
        live. All in one transaction. Raises as ``cancel`` does.
        """
        with self._database.write() as connection:
            self._jobs.lock(connection, self._jobs.columns.job_id.in_(job_ids))
            self._database.announce(connection)
            return [self._retry(connection, self._job(connection, job_id), force) for job_id in job_ids]

    def _cancel(self, connection: sa.Connection, job: ComputeJob) -> Cared:
        note = None
        if job.status == ComputeJobStatus.PROCESSING:
            if self._holder(connection, job) is None:
                note = "a worker of another program runs it, which may still overwrite this end"
        elif job.status != ComputeJobStatus.QUEUED:
            return Cared(
                job, Action.REFUSED, f"only a queued or processing job can be cancelled; this one is {job.status}"
            )
        ended_at = max(now_ms(), job.started_at or 0)
        fields = {"status": str(ComputeJobStatus.ERROR), "error_message": CANCELLED, "completed_at": ended_at}
        return Cared(self._write(connection, job, Cause.CANCELLED, **fields), Action.CANCELLED, note)

    def _retry(self, connection: sa.Connection, job: ComputeJob, force: bool) -> Cared:
        if job.status == ComputeJobStatus.QUEUED:
            return Cared(job, Action.UNCHANGED, "it is queued already")
        if job.status == ComputeJobStatus.PROCESSING:
            refusal = _why_not(job, self._holder(connection, job), force)
        elif job.status == ComputeJobStatus.ERROR:
            refusal = None
        else:
            refusal = f"only a job in error can be tried again; this one is {job.status}: submit it anew"
        if refusal is not None:
            return Cared(job, Action.REFUSED, refusal)
        # started_at stays: as the witness against whoever held the job, the next claim must set a later one.
        fields = {
            "status": str(ComputeJobStatus.QUEUED),
            "progress": 0,
            "retry_count": 0,
            "output": None,
            "error_message": None,
            "completed_at": None,
        }
        return Cared(self._write(connection, job, Cause.RETRIED, **fields), Action.QUEUED)

    def _write(self, connection: sa.Connection, job: ComputeJob, cause: Cause, **fields: Any) -> ComputeJob:
        now = now_ms()
        values = self._jobs.values(updated_at=now, **fields)
        connection.execute(self._jobs.table.update().where(self._jobs.columns.job_id == job.job_id).values(**values))
        # The claim that held it until now ended by our hand; one of which another program knew nothing, long before.
        held = job.started_at if job.status == ComputeJobStatus.PROCESSING else None
        ours = sa.case((attempts.c.started_at == held, str(cause)), else_=str(Cause.SUPERSEDED))
        connection.execute(
            attempts.update()
            .where(attempts.c.job_id == job.job_id, attempts.c.ended_at.is_(None))
            .values(ended_at=now, cause=ours)
        )
        return self._job(connection, job.job_id)

    def _job(self, connection: sa.Connection, job_id: str) -> ComputeJob:
        row = connection.execute(self._jobs.with_id(job_id)).one_or_none()
        if row is None:
            raise JobNotFound(f"job {job_id} was deleted at this moment; nothing is changed")
        return job_of(row)

    def _holder(self, connection: sa.Connection, job: ComputeJob) -> _Holder | None:
        """Return who of us holds a processing job; None when another program has claimed it."""
        claim = sa.select(attempts.c.instance).where(
            attempts.c.job_id == job.job_id, attempts.c.ended_at.is_(None), attempts.c.started_at == job.started_at
        )
        instance = connection.scalar(claim)
        return None if instance is None else _Holder(record_of(connection, instance))


def _why_not(job: ComputeJob, holder: _Holder | None, force: bool) -> str | None:
    """Say why a processing job is not to be taken from its holder; None when it may be."""
    since = as_time(job.started_at)
    if holder is None:
        held = f"a worker of another program holds it since {since}"
        return None if force else f"{held}; if that worker is known to be gone, take it with --force"
    if holder.is_gone:
        who = f"{holder.record}, which is dead," if holder.record else "a worker that has ended"
        return (
            None if force else f"{who} holds it since {since}; the next worker here rescues it, or take it with --force"
        )
    if holder.record and holder.record.alive:
        return f"{holder.record} holds it since {since}, and lives; to end the job, cancel it"
    return (
        f"{holder.record} holds it since {since}, and nothing here proves that it is dead; "
        "a running worker judges that by its heartbeats, or cancel the job and then retry it"
    )
