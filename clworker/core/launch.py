"""Starts a worker: its processes and connections in their order, and their end in the reverse one.

The nursery comes first, before there is any thread or connection that its children could
inherit. What is heavy to import is imported while the nursery loads the plugins, and put
together by ``assembly``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from clworker.core.errors import Interrupted
from clworker.core.models.jobs import ComputeJob
from clworker.core.settings import Settings
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.tasks import process
from clworker.core.web.listener import listen
from clworker.core.worker.signals import StopRequest, stop_requests
from clworker.core.worker.slots import Nursery

if TYPE_CHECKING:
    from clworker.core.worker.supervisor import ComputeWorker


async def run_once(settings: Settings) -> ComputeJob | None:
    """Claim one job, run it and return it as it then stands; None when nothing waited.

    The first signal has the job returned to the queue. Raises Interrupted then.
    """
    with stop_requests() as stop:
        job = None
        async with ready_worker(settings, Role.ONCE, stop) as worker:
            if not stop.first.is_set() and await worker.has_work():
                async with worker:
                    job = None if stop.first.is_set() else await worker.run_once()
        if stop.first.is_set() and (job is None or not job.is_final):
            raise stop.interruption(f"job {job.job_id} went back to the queue" if job else "no job was claimed")
        return job


async def run_worker(settings: Settings) -> None:
    """Run a worker until a signal ends it; every child of this process is the worker's, and ends with it.

    Raises Interrupted after a second signal.
    """
    process.adopt_orphans()  # of a nursery that is killed: nobody else would end what tasks have left
    with stop_requests() as stop:
        try:
            async with ready_worker(settings, Role.RUN, stop) as worker, worker:
                await worker.run()
        except Interrupted:
            if stop.second.is_set():
                raise


@asynccontextmanager
async def ready_worker(settings: Settings, role: Role, stop: StopRequest) -> "AsyncIterator[ComputeWorker]":
    """Hold a worker with all that it needs for the time of the block; entering the worker itself registers it.

    Raises Interrupted when a signal comes while the plugins load, UsageFault and
    StoreUnavailable.
    """
    instance = Instance.new(settings.worker_id, role, settings.heartbeat_interval)
    async with AsyncExitStack() as stack:
        sock = None
        if role is Role.RUN and settings.http is not None:
            sock = stack.enter_context(listen(*settings.http))
        lock = stack.enter_context(InstanceLock(settings.database_path, instance))
        starting = asyncio.create_task(Nursery.start(settings, lock.fd))
        stack.push_async_callback(Nursery.stop, starting)
        await asyncio.sleep(0)  # lets the task start the child

        from clworker.core.assembly import assemble, open_facilities

        facilities = await open_facilities(settings, role, sock, stack)
        await stop.first_or(starting)
        if not starting.done():
            raise stop.interruption("no job was claimed")
        yield assemble(settings, instance, lock, await starting, facilities, stop, stack)
