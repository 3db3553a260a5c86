"""The queue at a glance, cheap enough to be asked for again and again: what waits, what runs, what failed lately."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.database import Database
from clworker.core.store.rows import distinct, whole
from clworker.core.store.schema import JobsTable
from clworker.core.store.statistics import queued_by_task

MOST_TASKS = 100
"""Task types that are told apart; other programs may write any number of them."""

LATEST_FAILURES = 10
_LONGEST_NAME = 200
_LONGEST_MESSAGE = 2000
_OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class TaskLoad:
    """The jobs of one task type that are not over; ``oldest_at`` is when the first that waits was created."""

    task_type: str
    queued: int
    running: int
    oldest_at: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that ended in ``error``; ``ended_at`` is Unix milliseconds."""

    job_id: str
    task_type: str
    message: str
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole queue, whoever works on it. Texts are as others wrote them, cut to a bearable length."""

    tasks: Sequence[TaskLoad]
    failures: Sequence[Failure]


class Overviews:
    """Takes overviews of one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs

    def take(self) -> Overview:
        """Return how the queue stands, in one read. Raises StoreUnavailable."""
        with self._database.read() as connection:
            return Overview(self._loads(connection), self._failures(connection))

    def _loads(self, connection: sa.Connection) -> list[TaskLoad]:
        queued: Counter[str] = Counter()
        running: Counter[str] = Counter()
        oldest: dict[str, int] = {}
        for task, count, first in queued_by_task(connection):
            name = task[:_LONGEST_NAME]
            queued[name] += count
            if first is not None:
                oldest[name] = min(first, oldest.get(name, first))
        for task, count in self._running(connection):
            running[task[:_LONGEST_NAME]] += count
        loads = [TaskLoad(name, queued[name], running[name], oldest.get(name)) for name in {**queued, **running}]
        loads.sort(key=lambda load: (-load.queued, -load.running, load.task_type))
        return _with_few_names(loads)

    def _running(self, connection: sa.Connection) -> Iterator[tuple[str, int]]:
        task = self._jobs.columns.task_type
        query: sa.Select[Any] = sa.select(task, sa.func.count()).group_by(task)
        for name, count in connection.execute(query.where(*self._jobs.in_status(str(ComputeJobStatus.PROCESSING)))):
            yield str(name), count

    def _failures(self, connection: sa.Connection) -> list[Failure]:
        """Return those of the newest jobs that failed, by their end; one look into an index for each task type."""
        columns = self._jobs.columns
        failed = self._jobs.in_status(str(ComputeJobStatus.ERROR))
        query = (
            sa.select(
                sa.func.substr(columns.job_id, 1, _LONGEST_NAME),
                sa.func.substr(columns.error_message, 1, _LONGEST_MESSAGE),
                columns.completed_at,
                columns.created_at,
            )
            .order_by(columns.created_at.desc())
            .limit(LATEST_FAILURES)
        )
        found = [
            ((whole(ended) or whole(created) or 0), Failure(_text(job_id), _text(task), _text(message), whole(ended)))
            for task in islice(distinct(connection, columns.task_type, *failed), MOST_TASKS)
            for job_id, message, ended, created in connection.execute(query.where(*failed, columns.task_type == task))
        ]
        found.sort(key=lambda each: each[0], reverse=True)
        return [failure for _, failure in found[:LATEST_FAILURES]]


def _with_few_names(loads: Sequence[TaskLoad]) -> list[TaskLoad]:
    told, others = list(loads[:MOST_TASKS]), loads[MOST_TASKS:]
    if others:
        ages = [load.oldest_at for load in others if load.oldest_at is not None]
        queued, running = sum(load.queued for load in others), sum(load.running for load in others)
        told.append(TaskLoad(_OTHERS, queued, running, min(ages, default=None)))
    return told


def _text(value: Any) -> str:
    """Return what may be of any type, since SQLite keeps any in any column, as a text of bearable length."""
    text = "" if value is None else value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text[:_LONGEST_MESSAGE]
