"""The composition root: from Settings to a wired worker or store.

Imports stand inside the functions here, and only here: a command pays at start-up for
what it uses (SQLAlchemy alone costs more than five times a bare Python).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any

from clworker.core.models import Attempt, ComputeJob, JobFilter, JobRequest
from clworker.core.settings import Settings, TaskSettings

if TYPE_CHECKING:
    from clworker.core.store.store import Store
    from clworker.core.tasks.discovery import Discovery, TaskInfo
    from clworker.core.worker.signals import StopRequest
    from clworker.core.worker.supervisor import ComputeWorker


@contextmanager
def open_store(settings: Settings) -> "Iterator[Store]":
    """Open the database for the time of the block. Raises StoreUnavailable and SchemaMismatch."""
    from clworker.core.store.store import Store

    store = Store(settings.database_url)
    try:
        yield store
    finally:
        store.close()


def list_tasks(settings: TaskSettings) -> "list[TaskInfo]":
    """Return every task plugin that is installed, whatever its state. Raises PluginHostFailed."""

    async def found() -> "list[TaskInfo]":
        async with _plugins(settings) as discovery:
            return discovery.tasks

    return asyncio.run(found())


def describe_task(settings: TaskSettings, task_type: str) -> list[dict[str, Any]]:
    """Return the parameters of one task. Raises TaskUnknown, or UsageFault when it is broken."""
    request = {"type": "describe", "task_type": task_type}
    parameters: list[dict[str, Any]] = asyncio.run(_ask_task(settings, task_type, request))["params"]
    return parameters


def list_jobs(settings: Settings, wanted: JobFilter) -> list[ComputeJob]:
    """Return the jobs that match, newest first. Raises StoreUnavailable."""
    with open_store(settings) as store:
        return store.jobs.matching(wanted)


def show_job(settings: Settings, prefix: str) -> tuple[ComputeJob, list[Attempt]]:
    """Return the job whose id begins so, with its attempts. Raises JobNotFound, StoreUnavailable."""
    with open_store(settings) as store:
        job = store.jobs.find(prefix)
        return job, store.jobs.attempts(job.job_id)


def submit_job(settings: Settings, request: JobRequest, on_queued: Callable[[ComputeJob], None]) -> ComputeJob:
    """Check, stage and queue a job, and tell the other programs.

    ``on_queued`` is called as soon as the job is in the queue, before the broker is waited
    for. Raises UsageFault, StagingFailed and StoreUnavailable, leaving nothing behind.
    """
    from clworker.core import submission
    from clworker.core.models import ComputeJobStatus
    from clworker.core.presence.broadcaster import get_broadcaster, shutdown_broadcaster
    from clworker.core.presence.messages import JobEvent

    submission.check_inputs(request.inputs)
    question = {
        "type": "prepare",
        "task_type": request.task_type,
        "texts": dict(request.texts),
        "inputs": len(request.inputs),
    }
    answer = asyncio.run(_ask_task(settings, request.task_type, question))
    prepared = submission.PreparedParams(answer["params"], answer["takes_files"], answer["format"])
    with open_store(settings) as store:
        job = submission.submit(settings, store, request, prepared)
    on_queued(job)
    try:
        get_broadcaster(settings).publish_event(JobEvent(job.job_id, ComputeJobStatus.QUEUED, 0))
    finally:
        shutdown_broadcaster()
    return job


def wait_for_job(settings: Settings, job_id: str, on_progress: Callable[[int], None]) -> ComputeJob:
    """Wait until some worker has ended the job. Raises JobNotFound and StoreUnavailable."""
    from clworker.core import submission

    with open_store(settings) as store:
        return submission.wait_until_final(store, job_id, on_progress)


def run_once(settings: Settings) -> ComputeJob | None:
    """Claim one job, run it and return it as it then stands; None when nothing waited.

    Raises Interrupted when a signal stopped it, UsageFault and StoreUnavailable.
    """
    return asyncio.run(_run_once(settings))


async def _run_once(settings: Settings) -> ComputeJob | None:
    from clworker.core.worker.signals import stop_requests

    with stop_requests() as stop:
        async with _started_worker(settings, stop) as worker:
            job = await worker.run_once()
        if stop.first.is_set() and (job is None or not job.is_final):
            raise stop.interruption(f"job {job.job_id} went back to the queue" if job else "no job was claimed")
        return job


@asynccontextmanager
async def _started_worker(settings: Settings, stop: "StopRequest") -> "AsyncIterator[ComputeWorker]":
    """Start a worker's processes and connections in their order, and end them in the reverse one.

    Raises Interrupted as soon as a signal comes in while the plugins load.

    The nursery starts first, before there is any thread or connection, and its plugins load
    while the database is opened here.
    """
    from clworker.core.store.identity import Instance, InstanceLock
    from clworker.core.worker.slots import Nursery

    instance = Instance.new(settings.worker_id)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(InstanceLock(settings.database_path, instance))
        starting = asyncio.create_task(Nursery.start(settings, lock.fd))
        stack.push_async_callback(Nursery.stop, starting)
        await asyncio.sleep(0)  # lets the task start the child

        from clworker.core import structured_logs
        from clworker.core.presence.broadcaster import get_broadcaster, shutdown_broadcaster
        from clworker.core.store.store import Store
        from clworker.core.tasks.selection import select_types
        from clworker.core.worker.execution import Surroundings
        from clworker.core.worker.ledger import Ledger
        from clworker.core.worker.supervisor import ComputeWorker

        structured_logs.configure(settings, worker_id=settings.worker_id)
        ledger = stack.enter_context(closing(Ledger()))
        store = await ledger.call(Store, settings.database_url)
        stack.callback(store.close)
        stack.callback(shutdown_broadcaster)
        await stop.first_or(starting)
        if stop.first.is_set():
            raise stop.interruption("no job was claimed")
        nursery = await starting
        task_types = select_types(nursery.discovery.tasks, settings.tasks)
        around = Surroundings(settings, store, ledger, get_broadcaster(settings), return_jobs=stop.first)
        async with ComputeWorker(around, instance, lock, nursery, task_types) as worker:
            yield worker


async def _ask_task(settings: TaskSettings, task_type: str, request: dict[str, Any]) -> dict[str, Any]:
    from clworker.core.tasks.selection import find_ready_task

    async with _plugins(settings) as discovery:
        find_ready_task(discovery.tasks, task_type)
        return await discovery.host.ask(request)


@asynccontextmanager
async def _plugins(settings: TaskSettings) -> "AsyncIterator[Discovery]":
    from clworker.core.tasks.discovery import PluginHost, discover

    discovery = await discover(lambda: PluginHost("clworker.core.tasks.host"), settings.plugin_timeout)
    try:
        yield discovery
    finally:
        await discovery.host.end()
