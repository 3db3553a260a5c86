"""Starts a worker: its processes and connections in their order, and their end in the reverse one.

The nursery comes first, before there is any thread or connection that its children could
inherit. What is heavy to import is imported while the nursery loads the plugins.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING

from clworker.core.errors import Interrupted
from clworker.core.models import ComputeJob
from clworker.core.settings import Settings
from clworker.core.store.filesystem import network_file_system
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.tasks import process
from clworker.core.web.listener import listen
from clworker.core.worker import descendants
from clworker.core.worker.signals import StopRequest, stop_requests
from clworker.core.worker.slots import Nursery

if TYPE_CHECKING:
    from clworker.core.worker.supervisor import ComputeWorker

_log = logging.getLogger("clworker.worker")


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

        from clworker.core import structured_logs
        from clworker.core.presence.broadcaster import get_broadcaster, shutdown_broadcaster
        from clworker.core.store.store import Store
        from clworker.core.tasks.selection import select_types
        from clworker.core.worker.execution import Surroundings
        from clworker.core.worker.ledger import Ledger
        from clworker.core.worker.missed import MissedInputs
        from clworker.core.worker.observer import Unobserved
        from clworker.core.worker.pool import SlotPool
        from clworker.core.worker.supervisor import ComputeWorker, Identity

        structured_logs.configure(settings, worker_id=settings.worker_id)
        web = None
        if sock is not None:
            from clworker.core.web.service import WebService

            web = stack.enter_context(WebService(settings, sock))
        ledger = stack.enter_context(closing(Ledger()))
        store = await ledger.call(Store, settings.database_url, home=settings.database_path)
        stack.callback(store.close)
        if settings.database_is_file:
            _warn_of_network(str(settings.database_path))
        # Only a worker that stays has a stable client id: of that there may be one at a time.
        client_id = f"clworker-{settings.worker_id}" if role is Role.RUN else None
        stack.callback(shutdown_broadcaster)
        await stop.first_or(starting)
        if not starting.done():
            raise stop.interruption("no job was claimed")
        nursery = await starting
        identity = Identity(instance, select_types(nursery.discovery.tasks, settings.tasks))
        pool = SlotPool(
            settings,
            nursery,
            lambda: Nursery.start_again(settings, lock.fd, identity.task_types),
            descendants.end_all if role is Role.RUN else lambda: None,
        )
        stack.push_async_callback(pool.close)
        around = Surroundings(
            settings,
            store,
            ledger,
            get_broadcaster(settings, client_id),
            lock,
            Unobserved() if web is None else web.observer,
            MissedInputs(store, ledger, settings.input_roots) if settings.skip_missing_inputs else None,
        )
        worker = ComputeWorker(around, identity, pool, stop)
        if web is not None:
            web.watch(worker.situation, store, around.broadcaster)
        yield worker


def _warn_of_network(database_path: str) -> None:
    file_system = network_file_system(database_path)
    if file_system is not None:
        _log.warning(
            "the database is on a network file system, where only programs of one machine may use it: its log "
            "(WAL) needs memory that they share; use a local disk",
            extra={"file_system": file_system, "database": database_path},
        )
