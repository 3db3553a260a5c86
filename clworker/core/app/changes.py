"""Adds, changes and removes jobs, and tells the other programs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

from clworker.core.app.setup import open_plugins, open_store

if TYPE_CHECKING:
    from clworker.core.caretaker import Round
    from clworker.core.models.jobs import ComputeJob
    from clworker.core.models.reports import ImportReport, PurgeReport
    from clworker.core.models.requests import JobRequest, PurgeFilter
    from clworker.core.settings import Settings
    from clworker.core.tasks.plugins import Plugins


def submit_job(
    settings: Settings,
    request: JobRequest,
    on_queued: Callable[[ComputeJob], None],
    plugins: Plugins | None = None,
) -> ComputeJob:
    """Check, stage and queue a job, and tell the other programs.

    ``on_queued`` is called as soon as the job is in the queue, before the broker is waited
    for. ``plugins``, if they are open already, are asked and closed.
    Raises UsageFault, StagingFailed and StoreUnavailable, leaving nothing behind.
    """
    from clworker.core import submission
    from clworker.core.models.jobs import ComputeJobStatus
    from clworker.core.presence.broadcaster import open_broadcaster
    from clworker.core.presence.messages import JobEvent

    submission.check_inputs(request.inputs)
    with plugins or open_plugins(settings) as asked:
        answer = asked.prepare(request.task_type, dict(request.texts), len(request.inputs))
    prepared = submission.PreparedParams(answer["params"], answer["takes_files"], answer["format"])
    with open_store(settings) as store:
        job = submission.submit(settings, store, request, prepared)
    on_queued(job)
    with closing(open_broadcaster(settings)) as broadcaster:
        broadcaster.publish_event(JobEvent(job.job_id, ComputeJobStatus.QUEUED, 0))
    return job


def wait_for_job(settings: Settings, job_id: str, on_progress: Callable[[int], None]) -> ComputeJob:
    """Wait until some worker has ended the job. Raises JobNotFound and StoreUnavailable."""
    from clworker.core import submission

    with open_store(settings) as store:
        return submission.wait_until_final(store, job_id, on_progress)


def cancel_jobs(settings: Settings, prefixes: Collection[str], on_done: Callable[[Round], None]) -> None:
    """End jobs that are queued or running, and tell the other programs.

    ``on_done`` is called with what became of each, before the broker is waited for. Raises
    StoreUnavailable, if need be after telling of what was done until then.
    """
    from clworker.core import caretaker

    with open_store(settings) as store:
        result = caretaker.cancel(settings, store, prefixes)
    _tell_round(settings, result, on_done)


def retry_jobs(settings: Settings, prefixes: Collection[str], force: bool, on_done: Callable[[Round], None]) -> None:
    """Queue failed jobs again, with ``force`` also those that nobody here holds; else as ``cancel_jobs``."""
    from clworker.core import caretaker

    with open_store(settings) as store:
        result = caretaker.retry(store, prefixes, force)
    _tell_round(settings, result, on_done)


def purge_jobs(settings: Settings, wanted: PurgeFilter, report: PurgeReport) -> None:
    """Delete finished jobs with their folders, and folders of no job; ``report`` is kept up to date.

    Raises PathRefused when the folder of jobs is none of ours, and StoreUnavailable; what
    ``report`` says was done until then.
    """
    from clworker.core import purging

    with open_store(settings) as store:
        purging.purge(settings, store, wanted, report)


def import_jobs(
    settings: Settings,
    lines: BinaryIO,
    report: ImportReport,
    *,
    skip_existing: bool,
    on_read: Callable[[int], None],
) -> None:
    """Add the jobs that these lines describe; ``report`` is kept up to date, ``on_read`` told how many bytes were read.

    Raises ImportRefused for a line that is wrong, and StoreUnavailable; what ``report`` says
    was done until then.
    """
    from clworker.core.presence.broadcaster import open_broadcaster
    from clworker.core.transfer.importing import Import

    with open_store(settings) as store, closing(open_broadcaster(settings)) as broadcaster:
        Import(store, broadcaster, report, skip_existing).run(lines, on_read)


def _tell_round(settings: Settings, result: Round, on_done: Callable[[Round], None]) -> None:
    from clworker.core import caretaker
    from clworker.core.presence.broadcaster import open_broadcaster

    on_done(result)
    with closing(open_broadcaster(settings)) as broadcaster:
        caretaker.tell(broadcaster, result)
    if result.failure is not None:
        raise result.failure
