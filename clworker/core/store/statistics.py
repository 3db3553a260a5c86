"""How the jobs stand: counts by task and status, and how long the newest ones waited and ran.

Each number comes from an index, however many rows there are: what is finished from an index
of our own that holds nothing else, what is queued from the queue's, and the few in any other
status by that status.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.reports import TaskStatistics
from clworker.core.store.database import Database
from clworker.core.store.rows import distinct, whole
from clworker.core.store.schema import FINISHED_STATUSES, QUEUE_INDEX, JobsTable
from clworker.core.times import as_age

SAMPLE = 1000
"""Percentiles are of so many finished jobs of a task type, the newest."""

_QUEUED = str(ComputeJobStatus.QUEUED)
_PERCENTS = (50, 90, 99)
_OTHER = "other"


class Statistics:
    """Counts and percentiles, over one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs

    def by_task(self, now: int, since_ms: int | None = None, task_type: str | None = None) -> list[TaskStatistics]:
        """Return a line for each task type, by name, as all stood at one moment.

        ``now`` and ``since_ms``, the earliest creation that counts, are Unix milliseconds.
        Raises StoreUnavailable.
        """
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        oldest: dict[str, int] = {}
        with self._database.read() as connection:
            for status in self._statuses(connection):
                group = status if status in set(ComputeJobStatus) else _OTHER
                for task, count, first in self._counted(connection, status, since_ms, task_type):
                    counts[task][group] += count
                    if status == _QUEUED and first is not None:
                        oldest[task] = first
            return [
                _line(task, counts[task], oldest.get(task), now, self._sample(connection, task, since_ms))
                for task in sorted(counts)
            ]

    def _statuses(self, connection: sa.Connection) -> Iterator[Any]:
        return distinct(connection, self._jobs.columns.status)

    def _counted(
        self, connection: sa.Connection, status: str, since_ms: int | None, task_type: str | None
    ) -> Iterator[tuple[str, int, int | None]]:
        """Yield each task type, how many of its jobs have this status, and when the oldest queued one was created."""
        columns = self._jobs.columns
        if status == _QUEUED:
            yield from queued_by_task(connection, since_ms, task_type)
            return
        tasks = (
            [task_type]
            if task_type is not None
            else distinct(connection, columns.task_type, *self._jobs.in_status(status))
        )
        for task in tasks:
            query: sa.Select[Any] = sa.select(sa.func.count()).select_from(self._jobs.table)
            query = query.where(*self._jobs.in_status(status), columns.task_type == task)
            count = connection.scalar(_since(query, columns.created_at, since_ms))
            if count:
                yield str(task), count, None

    def _sample(self, connection: sa.Connection, task: str, since_ms: int | None) -> list[tuple[int, int]]:
        """Return how long the newest finished jobs of a task type waited and ran."""
        columns = self._jobs.columns
        rows: list[sa.Row[Any]] = []
        for status in FINISHED_STATUSES:
            query = sa.select(columns.created_at, columns.started_at, columns.completed_at)
            query = query.where(*self._jobs.in_status(status), columns.task_type == task)
            query = _since(query, columns.created_at, since_ms)
            rows += connection.execute(query.order_by(columns.created_at.desc()).limit(SAMPLE))
        times = [tuple(map(whole, row)) for row in rows]
        times.sort(key=lambda each: each[0] or 0, reverse=True)
        return [
            (max(0, started - created), max(0, ended - started))
            for created, started, ended in times[:SAMPLE]
            if created is not None and started is not None and ended is not None
        ]


def queued_by_task(
    connection: sa.Connection, since_ms: int | None = None, task_type: str | None = None
) -> Iterator[tuple[str, int, int | None]]:
    """Yield each task type that waits, how many of its jobs do, and when the oldest of them was created."""
    task: sa.ColumnElement[Any] = sa.literal_column("task_type")
    created: sa.ColumnElement[Any] = sa.literal_column("created_at", sa.BigInteger)
    query = (
        sa.select(task, sa.func.count(), sa.func.min(created))
        # SQLite by itself would look up every row by its status and sort them.
        .select_from(sa.text(f"jobs INDEXED BY {QUEUE_INDEX}" if connection.dialect.name == "sqlite" else "jobs"))
        .where(sa.text("status = 'queued'"))
        .group_by(task)
    )
    if since_ms is not None:
        query = query.where(created >= since_ms)
    if task_type is not None:
        query = query.where(task == task_type)
    for row in connection.execute(query):
        yield str(row[0]), row[1], whole(row[2])


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """Return the smallest value that so many percent of all do not exceed (nearest rank)."""
    if not ordered:
        return None
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def _since(query: sa.Select[Any], column: sa.Column[Any], since_ms: int | None) -> sa.Select[Any]:
    return query if since_ms is None else query.where(column >= since_ms)


def _line(
    task: str, counts: Counter[str], oldest: int | None, now: int, sample: Sequence[tuple[int, int]]
) -> TaskStatistics:
    age = None if oldest is None else max(0, now - oldest)
    measured: dict[str, Any] = {
        f"{name}_p{percent}_ms": percentile(sorted(durations), percent)
        for name, durations in (("waiting", [wait for wait, _ in sample]), ("running", [run for _, run in sample]))
        for percent in _PERCENTS
    }
    return TaskStatistics(
        task_type=task,
        **{group: counts[group] for group in (*map(str, ComputeJobStatus), _OTHER)},
        oldest_queued_ms=age,
        oldest_queued=None if age is None else as_age(age),
        sample=len(sample),
        **measured,
    )
