"""Deleting finished jobs for good, in steps between which everybody else gets a turn.

A job's folder goes after its row: a job that was queued again meanwhile keeps both. In
between, its id stands in ``clworker_purged``, so that a purge that is killed is finished by
the next one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from clworker.core.models.requests import PurgeFilter
from clworker.core.store.database import Database, again_on_conflict
from clworker.core.store.schema import JobsTable
from clworker.core.store.tables import attempts, purged


@dataclass(frozen=True, slots=True)
class Row:
    """Where a job stands in the table, in the order of creation."""

    created_at: int
    id: int
    job_id: str


class Purges:
    """The purge's look-ups and writes, over one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs

    @property
    def holds_up_others(self) -> bool:
        """Whether nobody else can write while jobs are deleted."""
        return not self._database.locks_rows

    def find(self, wanted: PurgeFilter, after: Row | None, limit: int) -> list[Row]:
        """Return the next jobs that are to go, oldest first, without locking anybody out."""
        columns = self._jobs.columns
        query = sa.select(columns.created_at, columns.id, columns.job_id).where(*self._matches(wanted))
        if after is not None:
            place = sa.tuple_(columns.created_at, columns.id)
            query = query.where(place > sa.tuple_(after.created_at, after.id))
        query = query.order_by(columns.created_at, columns.id).limit(limit)
        with self._database.read() as connection:
            return [Row(*row) for row in connection.execute(query)]

    @again_on_conflict
    def delete(self, rows: Sequence[Row], wanted: PurgeFilter) -> list[str]:
        """Delete those of the jobs that are still to go, with their attempts; return their ids.

        Their folders are to be removed then, and ``forget`` called. Raises StoreUnavailable.
        """
        columns = self._jobs.columns
        still = sa.select(columns.id, columns.job_id).where(columns.id.in_([row.id for row in rows]))
        with self._database.write() as connection:
            self._jobs.lock(connection, columns.id.in_([row.id for row in rows]))
            found = connection.execute(still.where(*self._matches(wanted))).all()
            job_ids = list(dict.fromkeys(row.job_id for row in found))
            connection.execute(self._jobs.table.delete().where(columns.id.in_([row.id for row in found])))
            connection.execute(attempts.delete().where(attempts.c.job_id.in_(job_ids)))
            connection.execute(purged.delete().where(purged.c.job_id.in_(job_ids)))
            if job_ids:
                connection.execute(purged.insert(), [{"job_id": job_id} for job_id in job_ids])
        return job_ids

    def unfinished(self, after: str, limit: int) -> list[str]:
        """Return, in their order, the ids whose folders an earlier purge has not reported as removed."""
        query = sa.select(purged.c.job_id).where(purged.c.job_id > after).order_by(purged.c.job_id).limit(limit)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def forget(self, job_ids: Collection[str]) -> None:
        """Note that nothing is left of these jobs. Raises StoreUnavailable."""
        with self._database.write() as connection:
            connection.execute(purged.delete().where(purged.c.job_id.in_(job_ids)))

    def existing(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of the ids that are jobs'."""
        column = self._jobs.columns.job_id
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(column).where(column.in_(job_ids))))

    def _matches(self, wanted: PurgeFilter) -> list[sa.ColumnElement[bool]]:
        columns = self._jobs.columns
        matches = [
            # Not the bare column: an index of it would have all that is finished sorted for each batch.
            columns.status.concat("").in_(wanted.statuses),
            # What ended before then was created before then; this walks the index of creation.
            columns.created_at < wanted.before_ms,
            sa.func.coalesce(columns.completed_at, columns.created_at) < wanted.before_ms,
        ]
        return matches if wanted.task_type is None else [*matches, columns.task_type == wanted.task_type]
