"""Whole rows of ``jobs`` on their way out of this database or into it, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clworker.core.models.jobs import ComputeJob
from clworker.core.models.requests import JobFilter
from clworker.core.store.database import Database, Evidence
from clworker.core.store.rows import is_held_back, job_of, refusal_of
from clworker.core.store.schema import JobsTable

_NORMAL_PRIORITY = 5


@dataclass(frozen=True, slots=True)
class Leaving:
    """A row on its way out, by its number in the table; ``held_back`` names what is too large to be read."""

    row_id: int
    job: ComputeJob
    held_back: str | None
    size: int
    """Characters of its texts, JSON among them."""


class Transfers:
    """The export's reads and the import's writes, over one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs

    def count(self, wanted: JobFilter) -> int:
        """Return how many jobs match now. Raises StoreUnavailable."""
        query = sa.select(sa.func.count()).select_from(self._jobs.table).where(*self._matches(wanted))
        with self._database.read() as connection:
            return connection.scalar(query) or 0

    def page(self, wanted: JobFilter, after: int | None, limit: int) -> list[Leaving]:
        """Return the next jobs that match, as they were added, after the row of this number.

        Raises StoreUnavailable.
        """
        columns = self._jobs.columns
        query = sa.select(columns.id, *self._whole()).where(*self._matches(wanted))
        if after is not None:
            query = query.where(columns.id > after)
        query = query.order_by(columns.id).limit(limit)
        with self._database.read() as connection:
            return [_leaving(row) for row in connection.execute(query)]

    def existing(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of the ids that are jobs' already. Raises StoreUnavailable."""
        with self._database.read() as connection:
            return self._existing(connection, job_ids)

    def refusal_of(self, job: ComputeJob) -> str | None:
        """Return what of a job this database cannot hold, and why; None where it can hold all."""
        kinds = {"params": self._jobs.columns.params.type, "output": self._jobs.columns[self._jobs.result_name].type}
        found = ((name, refusal_of(getattr(job, name), kind)) for name, kind in kinds.items())
        return next((f"its {name} cannot be kept: {refusal}" for name, refusal in found if refusal is not None), None)

    def add(self, jobs: Sequence[ComputeJob], *, skip_existing: bool) -> set[str]:
        """Add these jobs as they stand, all in one transaction; return the ids that were there already.

        If there are any, the other jobs are added only with ``skip_existing``. Raises
        StoreUnavailable, and UsageFault for values that the database refuses.
        """
        evidence = Evidence()
        with self._database.write(evidence) as connection:
            self._database.keep_others_out(connection, "imports")  # who would add the same between our look and our end
            existing = self._existing(connection, [job.job_id for job in jobs])
            rows = [self._values(job) for job in jobs if job.job_id not in existing]
            if rows and (skip_existing or not existing):
                connection.execute(self._jobs.table.insert(), rows)
                evidence.leave(lambda: self._jobs.with_id(rows[0]["job_id"]))
                self._database.announce(connection)
        return existing

    def _existing(self, connection: sa.Connection, job_ids: Sequence[str]) -> set[str]:
        column = self._jobs.columns.job_id
        return set(connection.scalars(sa.select(column).where(column.in_(job_ids))))

    def _values(self, job: ComputeJob) -> dict[str, Any]:
        fields = {name: getattr(job, name) for name in ComputeJob.__dataclass_fields__}
        if fields["priority"] is None:  # of a database that has none
            fields["priority"] = _NORMAL_PRIORITY
        return self._jobs.values(**fields)

    def _whole(self) -> list[sa.ColumnElement[Any]]:
        """Return the columns of a ComputeJob, with the texts whole of which a listing needs only a part."""
        whole = {name: self._jobs.columns[name].label(name) for name in ("error_message", "created_by")}
        return [whole.get(column.name, column) for column in self._jobs.selected()]

    def _matches(self, wanted: JobFilter) -> list[sa.ColumnElement[bool]]:
        # Not the bare columns: an index of one would have all that matches sorted for each page.
        columns = self._jobs.columns
        matches: list[sa.ColumnElement[bool]] = []
        if wanted.status is not None:
            matches.append(columns.status.concat("") == wanted.status)
        if wanted.task_type is not None:
            matches.append(columns.task_type.concat("") == wanted.task_type)
        if wanted.since_ms is not None:
            matches.append(columns.created_at + 0 >= wanted.since_ms)
        return matches


def _leaving(row: sa.Row[Any]) -> Leaving:
    job = job_of(row)
    held_back = next((name for name in ("params", "output") if is_held_back(getattr(job, name))), None)
    return Leaving(row[0], job, held_back, sum(len(value) for value in row if isinstance(value, str)))
