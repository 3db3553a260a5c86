"""Rows of ``jobs``: adding, finding and reading them, apart from claims."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.errors import JobNotFound
from clworker.core.models.attempts import Attempt, Cause
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus, NewJob
from clworker.core.models.requests import JobFilter
from clworker.core.store.database import Database, Evidence, again_on_conflict
from clworker.core.store.rows import distinct, job_of
from clworker.core.store.schema import FINISHED_STATUSES, JobsTable
from clworker.core.store.tables import attempts, instances
from clworker.core.suggestions import did_you_mean

_LAST_CHARACTER = "\U0010ffff"
_SHOWN_CANDIDATES = 4
_CANDIDATES = 100
_ALIKE = 0.75
"""So alike must an id be to be suggested: one wrong character of four."""
_LATEST = 1000
_FEW = 1000
"""Jobs of one status that are sorted rather than found among all."""
_DECIDED = (Cause.COMPLETED, Cause.FAILED, Cause.TIME_LIMIT, Cause.MEMORY_LIMIT)


class Jobs:
    """Queries and plain writes of jobs, over one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs

    def add(self, job: NewJob) -> ComputeJob:
        """Queue a job and return it as it was queued. Raises StoreUnavailable."""
        now = now_ms()
        values = self._jobs.values(
            job_id=job.job_id,
            task_type=job.task_type,
            params=job.params,
            priority=job.priority,
            status=str(ComputeJobStatus.QUEUED),
            progress=0,
            created_at=now,
            updated_at=now,
            retry_count=0,
            max_retries=job.max_retries,
            created_by=job.created_by,
        )
        evidence = Evidence()
        evidence.leave(lambda: self._jobs.with_id(job.job_id))
        with self._database.write(evidence) as connection:
            connection.execute(self._jobs.table.insert().values(**values))
            self._database.announce(connection)
            return job_of(connection.execute(self._jobs.with_id(job.job_id)).one())

    def get(self, job_id: str) -> ComputeJob | None:
        """Return the job with exactly this id."""
        with self._database.read() as connection:
            return self._one(connection, job_id)

    def find(self, prefix: str) -> ComputeJob:
        """Return the job with this id, or the only one whose id begins so.

        Raises JobNotFound, which names some candidates when there are several.
        """
        columns = self._jobs.columns
        with self._database.read() as connection:
            exact = self._one(connection, prefix)
            if exact is not None:
                return exact
            rows = connection.execute(
                sa.select(*self._jobs.selected())
                .where(*_begins_with(connection, columns.job_id, prefix))
                .order_by(_by_bytes(connection, columns.job_id))
                .limit(_SHOWN_CANDIDATES + 1)
            ).all()
        if len(rows) == 1:
            return job_of(rows[0])
        if not rows:
            with self._database.read() as connection:
                hint = did_you_mean(prefix, self._beginnings_like(connection, prefix), _ALIKE)
            hint = hint or "'clworker jobs' lists them"
            raise JobNotFound(f"no job has the id {prefix!r} or an id that begins so; {hint}")
        some = ", ".join(job_of(row).job_id for row in rows[:_SHOWN_CANDIDATES])
        more = ", …" if len(rows) > _SHOWN_CANDIDATES else ""
        raise JobNotFound(f"several jobs have ids that begin with {prefix!r}: {some}{more}")

    def matching(self, wanted: JobFilter) -> list[ComputeJob]:
        """Return the jobs that match, newest first."""
        columns = self._jobs.columns
        query = sa.select(columns.id, *self._jobs.selected())
        if wanted.since_ms is not None:
            query = query.where(columns.created_at >= wanted.since_ms)
        if wanted.worker_id is not None:
            query = query.where(columns.job_id.in_(_jobs_run_by(wanted.worker_id)))
        query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(wanted.limit)
        with self._database.read() as connection:
            found = [
                (job_of(row), row[0])
                for conditions in self._in_parts(connection, wanted)
                for row in connection.execute(query.where(*conditions))
            ]
        found.sort(key=lambda each: (each[0].created_at, each[1]), reverse=True)
        return [job for job, _ in found[: wanted.limit]]

    def several(self, job_ids: Collection[str]) -> list[ComputeJob]:
        """Return those of the jobs that there are."""
        query = sa.select(*self._jobs.selected()).where(self._jobs.columns.job_id.in_(job_ids))
        with self._database.read() as connection:
            return [job_of(row) for row in connection.execute(query)]

    def names_in_use(self) -> tuple[set[str], set[str]]:
        """Return the task types of the newest jobs, and the names of the workers that are remembered."""
        columns = self._jobs.columns
        types = sa.select(columns.task_type).order_by(columns.created_at.desc()).limit(_LATEST)
        with self._database.read() as connection:
            return _texts(connection.scalars(types)), _texts(connection.scalars(sa.select(instances.c.worker_id)))

    def active(self, limit: int) -> tuple[list[ComputeJob], Counter[str]]:
        """Return jobs that run, then those that were queued first, and how many there are of each status."""
        columns = self._jobs.columns
        found: list[ComputeJob] = []
        counts: Counter[str] = Counter()
        with self._database.read() as connection:
            for status in (ComputeJobStatus.PROCESSING, ComputeJobStatus.QUEUED):
                here = columns.status == str(status)
                counts[status] = connection.scalar(sa.select(sa.func.count()).where(here)) or 0
                # In the order in which they were added, which needs no sort of all that wait.
                query = sa.select(*self._jobs.selected()).where(here).order_by(columns.id).limit(limit - len(found))
                found += map(job_of, connection.execute(query))
        return found, counts

    def attempts(self, job_id: str) -> list[Attempt]:
        """Return the attempts at a job that are remembered, oldest first."""
        query = (
            sa.select(
                attempts.c.token,
                instances.c.worker_id,
                attempts.c.instance,
                instances.c.host,
                attempts.c.started_at,
                attempts.c.handed_at,
                attempts.c.ended_at,
                attempts.c.cause,
                attempts.c.signal,
                attempts.c.exit_code,
                attempts.c.peak_memory_kib,
            )
            .select_from(attempts.outerjoin(instances, instances.c.instance == attempts.c.instance))
            .where(attempts.c.job_id == job_id)
            .order_by(attempts.c.id)
        )
        with self._database.read() as connection:
            return [Attempt(**row._mapping) for row in connection.execute(query)]

    def ahead_of(self, job: ComputeJob) -> dict[str, int]:
        """Return how many queued jobs of each task type are claimed before this one."""
        columns = self._jobs.columns
        row_id = sa.select(columns.id).where(columns.job_id == job.job_id).scalar_subquery()
        place: tuple[Any, ...] = (columns.created_at, columns.id)
        limit: tuple[Any, ...] = (job.created_at, row_id)
        if self._jobs.has_priority:
            place, limit = (-columns.priority, *place), (-(job.priority or 0), *limit)
        query = (
            sa.select(columns.task_type, sa.func.count().label("jobs"))
            .where(self._jobs.stands_at(ComputeJobStatus.QUEUED), sa.tuple_(*place) < sa.tuple_(*limit))
            .group_by(columns.task_type)
        )
        with self._database.read() as connection:
            return {row.task_type: row.jobs for row in connection.execute(query)}

    def ended_since(self, since_ms: int) -> list[tuple[int, str]]:
        """Return when attempts that decided their jobs have ended, and their task types; the latest thousand."""
        columns = self._jobs.columns
        query = (
            sa.select(attempts.c.ended_at, columns.task_type)
            .join(attempts, attempts.c.job_id == columns.job_id)
            .where(attempts.c.ended_at >= since_ms, attempts.c.cause.in_(map(str, _DECIDED)))
            .order_by(attempts.c.ended_at.desc())
            .limit(_LATEST)
        )
        with self._database.read() as connection:
            return [(row.ended_at, row.task_type) for row in connection.execute(query)]

    def last_ended_by(self, instance: str, limit: int) -> list[ComputeJob]:
        """Return the jobs that are final now, of the ``limit`` attempts of this instance that ended last."""
        last: sa.Select[Any] = (
            sa.select(attempts.c.job_id)
            .where(attempts.c.instance == instance, attempts.c.ended_at.is_not(None))
            .order_by(attempts.c.ended_at.desc())
            .limit(limit)
        )
        query = sa.select(*self._jobs.selected()).where(self._jobs.columns.job_id.in_(last))
        with self._database.read() as connection:
            return [job for job in map(job_of, connection.execute(query)) if job.is_final]

    def update(self, job_id: str, **fields: Any) -> bool:
        """Set fields of a job without any claim, as services do; False when there is no such job."""
        values = self._jobs.values(updated_at=now_ms(), **fields)
        if not values:  # the first generation has none of these columns
            return self.get(job_id) is not None
        with self._database.write() as connection:
            statement = self._jobs.table.update().where(self._jobs.columns.job_id == job_id).values(**values)
            self._database.announce(connection)
            return connection.execute(statement).rowcount > 0

    @again_on_conflict
    def delete(self, job_id: str) -> bool:
        """Delete a job and what is remembered of its attempts; False when there is no such job."""
        with self._database.write() as connection:
            gone = connection.execute(self._jobs.table.delete().where(self._jobs.columns.job_id == job_id))
            connection.execute(attempts.delete().where(attempts.c.job_id == job_id))
            return gone.rowcount > 0

    def _in_parts(self, connection: sa.Connection, wanted: JobFilter) -> list[list[Any]]:
        """Return conditions on status and task type; together they match, each by an index that needs no sort."""
        columns = self._jobs.columns
        of_task = [] if wanted.task_type is None else [columns.task_type == wanted.task_type]
        if wanted.status is None:
            return [of_task]
        here = self._jobs.in_status(wanted.status)
        if wanted.worker_id is not None:
            return [[*here, *of_task]]
        if wanted.status in FINISHED_STATUSES:
            if of_task:
                return [[*here, *of_task]]
            return [[*here, columns.task_type == task] for task in distinct(connection, columns.task_type, *here)]
        if connection.scalar(sa.select(columns.id).where(*here).offset(_FEW).limit(1)) is None:
            return [[*here, *of_task]]
        # So many that the newest jobs will do; the bare column would have them all sorted.
        return [[columns.status.concat("") == wanted.status, *of_task]]

    def _beginnings_like(self, connection: sa.Connection, prefix: str) -> set[str]:
        """Return beginnings of ids, as long as this one, that it may be a slip of: of the newest jobs, and others."""
        columns = self._jobs.columns
        half = prefix[: max(1, len(prefix) // 2)]
        alike = sa.select(columns.job_id).where(*_begins_with(connection, columns.job_id, half))
        newest = sa.select(columns.job_id).order_by(columns.created_at.desc())
        found = [*connection.scalars(alike.limit(_CANDIDATES)), *connection.scalars(newest.limit(_CANDIDATES))]
        return {job_id[: len(prefix)] for job_id in _texts(found)}

    def _one(self, connection: sa.Connection, job_id: str) -> ComputeJob | None:
        row = connection.execute(self._jobs.with_id(job_id)).one_or_none()
        return None if row is None else job_of(row)


def _begins_with(connection: sa.Connection, column: sa.Column[Any], prefix: str) -> list[sa.ColumnElement[bool]]:
    ordered = _by_bytes(connection, column)
    if connection.dialect.name == "postgresql":
        return [ordered.startswith(prefix, autoescape=True)]  # not every encoding has a last character
    # By LIKE, which is deaf to case there, no index would be used.
    return [ordered >= prefix, ordered < prefix + _LAST_CHARACTER]


def _by_bytes(connection: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return a column in the order of its bytes, not in that of some language."""
    return sa.collate(column, "C") if connection.dialect.name == "postgresql" else column


def _texts(values: Iterable[Any]) -> set[str]:
    # Into a column of SQLite other programs may write what they like.
    return {value for value in values if isinstance(value, str)}


def _jobs_run_by(worker_id: str) -> sa.Select[tuple[str]]:
    workers: Sequence[Any] = [attempts.c.job_id]
    return (
        sa.select(*workers)
        .join(instances, instances.c.instance == attempts.c.instance)
        .where(instances.c.worker_id == worker_id)
    )
