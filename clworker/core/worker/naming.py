"""One name, one worker: two under one name would fight over the retained message."""

import asyncio
import time
from collections.abc import Callable

import structlog

from clworker.core.errors import NameTaken
from clworker.core.models import ComputeJob, WorkerRecord
from clworker.core.store.identity import Instance, LockFile
from clworker.core.store.store import Store
from clworker.core.worker.ledger import Ledger

_HEARTBEATS = 3
_LOOK_EVERY = 0.2
_log = structlog.get_logger("clworker.worker")


async def register(
    store: Store,
    ledger: Ledger,
    instance: Instance,
    lock: LockFile,
    takeover: bool,
    on_freed: Callable[[ComputeJob], None],
) -> None:
    """Register the instance under its name.

    A worker of that name that is provably dead is no obstacle; one of which nothing is known
    is watched through three of its heartbeats. ``takeover`` ends it, alive or not, and
    ``on_freed`` is called with each of its jobs. Raises NameTaken, StoreUnavailable.
    """
    while rivals := await ledger.call(store.instances.register, instance, lock):
        for rival in rivals:
            if takeover:
                _log.warning("taking over from another worker of this name", other=rival.instance, host=rival.host)
                for job in await ledger.call(store.claims.take_over, rival.instance):
                    on_freed(job)
            elif rival.alive or await _shows_life(store, ledger, rival):
                raise NameTaken(
                    f"worker id {rival.worker_id!r} is in use on host {rival.host} (pid {rival.pid}); "
                    "choose another with --worker-id, or end that one with --takeover"
                )
            else:
                for job in await ledger.call(store.claims.rescue, rival.instance):
                    on_freed(job)
                await ledger.call(store.instances.end, rival.instance)


async def _shows_life(store: Store, ledger: Ledger, rival: WorkerRecord) -> bool:
    """Watch a worker's heartbeat counter through three of its intervals, on our own clock."""
    patience = _HEARTBEATS * rival.heartbeat_interval_ms / 1000
    _log.warning("a worker of this name may still live; watching its heartbeats", host=rival.host, seconds=patience)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_EVERY)
        now = await ledger.call(store.instances.get, rival.instance)
        if now is None:
            return False
        if now.heartbeat != rival.heartbeat or now.alive:
            return True
    return False
