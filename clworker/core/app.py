"""The composition root: from Settings to a wired worker or store.

Imports stand inside the functions here: a command pays at start-up for what it uses
(SQLAlchemy alone costs more than five times a bare Python).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from clworker.core.errors import ClworkerError

if TYPE_CHECKING:
    from clworker.core.caretaker import Round
    from clworker.core.doctor.check import Check
    from clworker.core.errors import BrokerUnavailable
    from clworker.core.explain.answer import Explanation
    from clworker.core.models import (
        Attempt,
        ComputeJob,
        ImportReport,
        JobFilter,
        JobRequest,
        PurgeFilter,
        PurgeReport,
        TaskStatistics,
        WorkerView,
    )
    from clworker.core.roll_call import Cleared
    from clworker.core.settings import BrokerSettings, LogSettings, Settings, TaskSettings
    from clworker.core.store.store import Store
    from clworker.core.tasks.discovery import TaskInfo
    from clworker.core.tasks.plugins import Plugins
    from clworker.core.watching import Watch

AnySettings = TypeVar("AnySettings", bound="LogSettings")


def load_settings(options: dict[str, str | None]) -> Settings:
    """Load all settings and make logging ready. Raises SettingsError."""
    from clworker.core import settings

    return _with_logs(settings.load_settings(options))


def load_broker_settings(options: dict[str, str | None]) -> BrokerSettings:
    """Load what the broker needs and make logging ready. Raises SettingsError."""
    from clworker.core import settings

    return _with_logs(settings.load_broker_settings(options))


def load_task_settings(options: dict[str, str | None]) -> TaskSettings:
    """Load what task discovery needs and make logging ready. Raises SettingsError."""
    from clworker.core import settings

    return _with_logs(settings.load_task_settings(options))


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Open the database for the time of the block. Raises StoreUnavailable and SchemaMismatch."""
    from clworker.core.store.store import Store

    store = Store(settings.database_url, home=settings.database_path)
    try:
        yield store
    finally:
        store.close()


def open_plugins(settings: TaskSettings) -> Plugins:
    """Discover the task plugins; a child process holds them until they are closed. Raises PluginHostFailed."""
    from clworker.core.tasks.plugins import Plugins

    return Plugins(settings.plugin_timeout)


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
    from clworker.core.models import ComputeJobStatus
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


def run_once(settings: Settings) -> ComputeJob | None:
    """Claim one job, run it and return it as it then stands; None when nothing waited.

    To be called from the main thread. Logs to stderr while it runs. Raises Interrupted when
    a signal stopped it, UsageFault and StoreUnavailable.
    """
    import asyncio

    from clworker.core import launch, logs

    with logs.restored():
        return asyncio.run(launch.run_once(settings))


def run_worker(settings: Settings) -> None:
    """Run a worker until a signal ends it. To be called from the main thread, which it keeps.

    Raises Interrupted after a second signal, UsageFault (the name is in use, no task is
    ready), InstanceEnded after a takeover, and StoreUnavailable when the database cannot be
    opened at the start.
    """
    import asyncio

    from clworker.core import launch

    asyncio.run(launch.run_worker(settings))


def list_workers(settings: Settings) -> tuple[list[WorkerView], BrokerUnavailable | None]:
    """Return the workers as broker and database know them.

    With the broker out of reach, what the database knows and the trouble. Raises
    StoreUnavailable.
    """
    from clworker.core import roll_call

    with open_store(settings) as store:
        records = store.instances.live()
    retained, trouble = roll_call.standing(settings)
    return roll_call.match(retained, records), trouble


def examine(options: dict[str, str | None]) -> list[Check]:
    """Check everything that a worker needs; what is wrong with the settings is a check too."""
    from clworker.core import structured_logs
    from clworker.core.doctor.examination import examine_all
    from clworker.core.errors import SettingsError
    from clworker.core.settings import LogSettings, load_log_settings

    try:
        log = load_log_settings(options)
    except SettingsError:
        log = LogSettings(log_level="INFO", log_format="json", colour=False)
    structured_logs.configure(log)
    return examine_all(options)


def clear_capabilities(
    settings: BrokerSettings, worker_ids: Collection[str], *, stale: bool, force: bool
) -> list[Cleared]:
    """Remove retained messages of workers that are gone. Raises BrokerUnavailable."""
    from clworker.core import roll_call

    locked = _names_with_locks()
    return roll_call.clear(settings, worker_ids, stale=stale, force=force, holds_lock=locked.__contains__)


def log_internal_error(failure: Exception) -> None:
    """Write the traceback to the log, even when it happened before the settings were known."""
    import logging

    from clworker.core import logs
    from clworker.core.settings import LogSettings

    if not logging.getLogger().handlers:
        logs.prepare(LogSettings(log_level="INFO", log_format="json", colour=False))
    logging.getLogger("clworker").error("internal error", exc_info=failure)


def _warn_of_slips(wanted: JobFilter, task_types: Collection[str], worker_ids: Collection[str]) -> None:
    import logging

    from clworker.core.suggestions import did_you_mean

    for name, known, said in (
        (wanted.task_type, task_types, "no job is of this task type"),
        (wanted.worker_id, worker_ids, "no worker is known by this name"),
    ):
        if name and name not in known and (hint := did_you_mean(name, known)):
            logging.getLogger("clworker").warning(said, extra={"name_given": name, "hint": hint})


def _tell_round(settings: Settings, result: Round, on_done: Callable[[Round], None]) -> None:
    from clworker.core import caretaker
    from clworker.core.presence.broadcaster import open_broadcaster

    on_done(result)
    with closing(open_broadcaster(settings)) as broadcaster:
        caretaker.tell(broadcaster, result)
    if result.failure is not None:
        raise result.failure


def _with_logs(settings: AnySettings) -> AnySettings:
    from clworker.core import logs

    logs.prepare(settings)
    return settings


def _names_with_locks() -> set[str]:
    """Return the names of live workers that show themselves, if there is a database that can be asked."""
    from clworker.core.settings import has_server_dir, load_settings
    from clworker.core.store.identity import Role

    if not has_server_dir():
        return set()
    try:
        settings = load_settings({})
        if settings.database_is_file and not settings.database_path.exists():
            return set()
        with open_store(settings) as store:
            return {record.worker_id for record in store.instances.live() if record.alive and record.role == Role.RUN}
    except ClworkerError:
        return set()
