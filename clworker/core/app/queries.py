"""Answers questions about jobs and tasks; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clworker.core.app.setup import open_plugins, open_store

if TYPE_CHECKING:
    from clworker.core.explain.answer import Explanation
    from clworker.core.models.attempts import Attempt
    from clworker.core.models.jobs import ComputeJob
    from clworker.core.models.reports import TaskStatistics
    from clworker.core.models.requests import JobFilter
    from clworker.core.settings import Settings, TaskSettings
    from clworker.core.tasks.discovery import TaskInfo
    from clworker.core.watching import Watch


def list_tasks(settings: TaskSettings) -> list[TaskInfo]:
    """Return every task plugin that is installed, whatever its state. Raises PluginHostFailed."""
    with open_plugins(settings) as plugins:
        return plugins.tasks


def describe_task(settings: TaskSettings, task_type: str) -> list[dict[str, Any]]:
    """Return the parameters of one task. Raises TaskUnknown, or UsageFault when it is broken."""
    with open_plugins(settings) as plugins:
        return plugins.describe(task_type)


def list_jobs(settings: Settings, wanted: JobFilter) -> list[ComputeJob]:
    """Return the jobs that match, newest first; when none does, a warning names what may have been meant.

    Raises StoreUnavailable.
    """
    with open_store(settings) as store:
        found = store.jobs.matching(wanted)
        if not found and (wanted.task_type or wanted.worker_id):
            _warn_of_slips(wanted, *store.jobs.names_in_use())
        return found


def show_job(settings: Settings, prefix: str) -> tuple[ComputeJob, list[Attempt]]:
    """Return the job whose id begins so, with its attempts. Raises JobNotFound, StoreUnavailable."""
    with open_store(settings) as store:
        job = store.jobs.find(prefix)
        return job, store.jobs.attempts(job.job_id)


def job_statistics(settings: Settings, since_ms: int | None, task_type: str | None) -> list[TaskStatistics]:
    """Return how the jobs stand, a line for each task type. Raises StoreUnavailable."""
    from clworker.core.clock import now_ms

    with open_store(settings) as store:
        return store.statistics.by_task(now_ms(), since_ms, task_type)


def count_jobs(settings: Settings, wanted: JobFilter) -> int:
    """Return how many jobs match. Raises StoreUnavailable."""
    with open_store(settings) as store:
        return store.transfers.count(wanted)


def export_jobs(settings: Settings, wanted: JobFilter, on_left_out: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield the fields of every job that matches; ``on_left_out`` is told of those that cannot be exported.

    Raises StoreUnavailable.
    """
    from clworker.core.transfer import exporting

    with open_store(settings) as store:
        yield from exporting.export(store, wanted, on_left_out)


@contextmanager
def watch_jobs(settings: Settings, prefix: str | None, limit: int) -> Iterator[Watch]:
    """Follow one job, or ``limit`` of those that run and wait, for the time of the block.

    Raises JobNotFound and StoreUnavailable, as the look of a Watch does.
    """
    from clworker.core.watching import Watch

    with open_store(settings) as store:
        job_id = None if prefix is None else store.jobs.find(prefix).job_id
        watch = Watch(store, job_id, limit)
        try:
            yield watch
        finally:
            watch.close()


def explain_job(settings: Settings, prefix: str) -> Explanation:
    """Say why the job is where it is. Raises JobNotFound and StoreUnavailable."""
    from clworker.core import inquiry
    from clworker.core.explain.answer import explain

    with open_store(settings) as store:
        return explain(inquiry.gather(settings, store, prefix, lambda: list_tasks(settings)))


def _warn_of_slips(wanted: JobFilter, task_types: Collection[str], worker_ids: Collection[str]) -> None:
    import logging

    from clworker.core.suggestions import did_you_mean

    for name, known, said in (
        (wanted.task_type, task_types, "no job is of this task type"),
        (wanted.worker_id, worker_ids, "no worker is known by this name"),
    ):
        if name and name not in known and (hint := did_you_mean(name, known)):
            logging.getLogger("clworker").warning(said, extra={"name_given": name, "hint": hint})
