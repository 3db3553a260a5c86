"""What a doctor wants to know of any database; nothing in it is changed."""

import secrets
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.errors import StoreUnavailable
from clworker.core.models.attempts import Cause
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.workers import WorkerRecord
from clworker.core.store.claims import Claims
from clworker.core.store.database import Database
from clworker.core.store.examined import ExaminedDatabase
from clworker.core.store.instances import Instances
from clworker.core.store.rows import whole
from clworker.core.store.schema import JobsTable, completed, find_jobs, find_whole
from clworker.core.store.tables import attempts

PATIENCE = 2.0
"""Seconds to wait for another program's lock."""

_NEWEST = 1000
"""So many of the newest rows are asked for their times: not all have an index."""

_NAME = "clworker-doctor"
"""Of the job that never was."""


class Checkup:
    """Looks at one database that exists. Every method raises StoreUnavailable and DatabaseLost."""

    def __init__(self, database: Database) -> None:
        self.database = ExaminedDatabase(database)

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def writers(self) -> list[str]:
        """Return the other processes that keep us from writing now, as far as they can be seen."""
        return []

    def generation(self) -> tuple[str | None, bool]:
        """Return the generation of the ``jobs`` table, None without one, and whether our tables are all there.

        Raises SchemaMismatch.
        """
        with self.database.read() as connection:
            jobs = find_jobs(connection, self.database.label)
            return jobs.generation if jobs else None, find_whole(connection, self.database.label) is not None

    def rehearse(self) -> None:
        """Queue, claim and give back a job, in a transaction that is then undone."""
        job_id = f"{_NAME}-{secrets.token_hex(8)}"
        with self.database.undone() as connection:
            jobs = completed(connection, self.database.label)
            connection.execute(jobs.table.insert().values(**_probe_job(jobs, job_id)))
            claims = Claims(self.database, jobs)
            (claim,) = claims.claim(job_id, [job_id])
            claims.give_back(claim, Cause.STOPPED, counted=False)
            status = connection.scalar(sa.select(jobs.columns.status).where(jobs.columns.job_id == job_id))
        if claim.job_id != job_id or status != ComputeJobStatus.QUEUED:
            raise StoreUnavailable(f"the database does not keep what is written: the job was {status!r} in the end")

    def newest_time(self) -> int | None:
        """Return the latest time among the newest jobs and attempts, in Unix milliseconds."""
        with self.database.read() as connection:
            found = []
            if jobs := find_jobs(connection, self.database.label):
                names = ("created_at", "started_at", "completed_at", "updated_at")
                columns = [jobs.columns[name] for name in names if name in jobs.columns]
                found += _newest(connection, columns, jobs.columns.id)
                if find_whole(connection, self.database.label):
                    found += _newest(connection, [attempts.c.started_at, attempts.c.ended_at], attempts.c.id)
            return max((time for time in map(whole, found) if time is not None), default=None)

    def live_workers(self) -> list[WorkerRecord]:
        """Return the instances that nobody has ended."""
        with self.database.read() as connection:
            if find_whole(connection, self.database.label) is None:
                return []
        return Instances(self.database).live()

    def foreign_claims(self, older_than_ms: int) -> int:
        """Count the jobs that programs without attempts have held for so long."""
        with self.database.read() as connection:
            if (jobs := find_whole(connection, self.database.label)) is None:
                return 0
            held = sa.select(attempts.c.id).where(
                attempts.c.job_id == jobs.columns.job_id, attempts.c.ended_at.is_(None)
            )
            query = (
                sa.select(sa.func.count())
                .select_from(jobs.table)
                .where(
                    jobs.columns.status == str(ComputeJobStatus.PROCESSING),
                    jobs.columns.started_at < now_ms() - older_than_ms,
                    ~held.exists(),
                )
            )
            return connection.scalar(query) or 0


def _probe_job(jobs: JobsTable, job_id: str) -> dict[str, Any]:
    return jobs.values(
        job_id=job_id,
        task_type=job_id,
        priority=0,
        params={},
        status=str(ComputeJobStatus.QUEUED),
        progress=0,
        created_at=now_ms(),
        retry_count=0,
        max_retries=0,
    )


def _newest(connection: sa.Connection, columns: list[sa.Column[Any]], order: sa.Column[Any]) -> list[Any]:
    rows = connection.execute(sa.select(*columns).order_by(order.desc()).limit(_NEWEST))
    return [time for row in rows for time in row]
