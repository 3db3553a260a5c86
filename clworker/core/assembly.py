"""Puts a worker together out of its parts.

Heavy to import, which is why ``launch`` does so while the nursery loads the plugins.
"""

import logging
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from socket import socket
from typing import TYPE_CHECKING

from clworker.core import structured_logs
from clworker.core.presence.broadcaster import get_broadcaster, shutdown_broadcaster
from clworker.core.settings import Settings
from clworker.core.store.filesystem import network_file_system
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store
from clworker.core.tasks.selection import select_types
from clworker.core.worker import descendants
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.missed import MissedInputs
from clworker.core.worker.observer import Unobserved
from clworker.core.worker.pool import SlotPool
from clworker.core.worker.signals import StopRequest
from clworker.core.worker.slots import Nursery
from clworker.core.worker.supervisor import ComputeWorker, Identity

if TYPE_CHECKING:
    from clworker.core.web.service import WebService

_log = logging.getLogger("clworker.worker")


@dataclass(frozen=True)
class Facilities:
    """What a worker needs besides its slots; ``web`` is None where nothing is served."""

    store: Store
    ledger: Ledger
    web: "WebService | None"


async def open_facilities(settings: Settings, role: Role, sock: socket | None, stack: AsyncExitStack) -> Facilities:
    """Open the log, the web service and the database; the stack closes them. Raises StoreUnavailable."""
    structured_logs.configure(settings, for_good=role is Role.RUN, worker_id=settings.worker_id)
    web = None
    if sock is not None:
        from clworker.core.web.service import WebService

        web = stack.enter_context(WebService(settings, sock))
    ledger = stack.enter_context(closing(Ledger()))
    store = await ledger.call(Store, settings.database_url, home=settings.database_path)
    stack.callback(store.close)
    if settings.database_is_file:
        _warn_of_network(str(settings.database_path))
    stack.callback(shutdown_broadcaster)
    return Facilities(store, ledger, web)


def assemble(
    settings: Settings,
    instance: Instance,
    lock: InstanceLock,
    nursery: Nursery,
    facilities: Facilities,
    stop: StopRequest,
    stack: AsyncExitStack,
) -> ComputeWorker:
    """Build the worker, with a pool of slots that the stack closes. Raises UsageFault when no task is ready."""
    stays = instance.role is Role.RUN
    identity = Identity(instance, select_types(nursery.discovery.tasks, settings.tasks))
    pool = SlotPool(
        settings,
        nursery,
        lambda: Nursery.start_again(settings, lock.fd, identity.task_types),
        descendants.end_all if stays else lambda: None,
    )
    stack.push_async_callback(pool.close)
    store, ledger, web = facilities.store, facilities.ledger, facilities.web
    around = Surroundings(
        settings,
        store,
        ledger,
        # Only a worker that stays has a stable client id: of that there may be one at a time.
        get_broadcaster(settings, f"clworker-{settings.worker_id}" if stays else None),
        lock,
        Unobserved() if web is None else web.observer,
        MissedInputs(store, ledger, settings.input_roots) if settings.skip_missing_inputs else None,
    )
    worker = ComputeWorker(around, identity, pool, stop)
    if web is not None:
        web.watch(worker.situation, store, around.broadcaster)
    return worker


def _warn_of_network(database_path: str) -> None:
    file_system = network_file_system(database_path)
    if file_system is not None:
        _log.warning(
            "the database is on a network file system, where only programs of one machine may use it: its log "
            "(WAL) needs memory that they share; use a local disk",
            extra={"file_system": file_system, "database": database_path},
        )
