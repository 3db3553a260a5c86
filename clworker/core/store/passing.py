"""Claims that pass over some of the jobs that wait, and reach those behind them."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.claims import Claims
from clworker.core.store.database import Database
from clworker.core.store.prepared import Prepared, PreparedForMany
from clworker.core.store.queue import Queue
from clworker.core.store.schema import JobsTable


class PassingClaims(Claims):
    """The state machine of jobs, for one who leaves certain jobs to others."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._passing = _PassingQueue(jobs, database.dialect)
        super().__init__(database, jobs, self._passing)

    def pass_over(self, job_ids: Collection[str]) -> None:
        """Claim none of these jobs from now on; the collection is looked into at each claim, and may change."""
        self._passing.passed = job_ids

    def still_queued(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs that wait. Raises StoreUnavailable."""
        columns = self._jobs.columns
        here = self._jobs.has_status(ComputeJobStatus.QUEUED)
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(columns.job_id).where(here, columns.job_id.in_(job_ids))))


class _PassingQueue(Queue):
    def __init__(self, jobs: JobsTable, dialect: sa.Dialect) -> None:
        super().__init__(jobs, dialect)
        self.passed: Collection[str] = ()
        self._rows = PreparedForMany(sa.select(jobs.columns.id, *jobs.selected()), jobs.columns.id, dialect)
        self._beyond: dict[int, _ProbeBeyond] = {}

    def _probe(self, types: int) -> Prepared:
        if not self.passed:
            return super()._probe(types)
        if types not in self._beyond:
            columns = self._jobs.columns
            places = self._first_of_each(types, columns.id, columns.job_id, columns.task_type)
            self._beyond[types] = _ProbeBeyond(places, self._rows, self._dialect)
        probe = self._beyond[types]
        probe.passed = self.passed
        return probe


class _ProbeBeyond(Prepared):
    """Finds as many jobs of each task type as its ``limit`` says, not counting those that are passed over."""

    def __init__(self, places: sa.CompoundSelect[Any], rows: PreparedForMany, dialect: sa.Dialect) -> None:
        super().__init__(places, dialect)
        self._rows = rows
        self.passed: Collection[str] = ()

    def run(self, connection: sa.Connection, **values: Any) -> Sequence[Any]:
        limit = values.pop("limit")
        found: list[int] = []
        of_type: Counter[str] = Counter()
        for row_id, job_id, task_type in super().run(connection, **values, limit=limit + len(self.passed)):
            if job_id not in self.passed and of_type[task_type] < limit:
                of_type[task_type] += 1
                found.append(row_id)
        return self._rows.run(connection, found)
