"""One name, one worker: two under one name would fight over the retained message."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from clworker.core.errors import NameTaken
from clworker.core.models.jobs import ComputeJob
from clworker.core.models.workers import WorkerRecord
from clworker.core.store.identity import Instance, LockFile
from clworker.core.store.store import Store
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.signals import StopRequest
from clworker.core.worker.vigil import HEARTBEATS, Vigil

_LOOKS_A_HEARTBEAT = 4
_LOOK_EVERY = 0.2
_log = structlog.get_logger("clworker.worker")


@dataclass(frozen=True)
class Candidate:
    """An instance that wants its name; with ``takeover`` from whoever has it, alive or not."""

    instance: Instance
    lock: LockFile
    takeover: bool
    clear_up_after: Callable[[str], None]
    """Removes the files that a dead instance has left; may block."""


async def register(
    store: Store, ledger: Ledger, candidate: Candidate, stop: StopRequest, on_freed: Callable[[ComputeJob], None]
) -> None:
    """Register the candidate under its name.

    A worker of that name that is provably dead is no obstacle; one of which nothing is known
    is watched through three of its heartbeats. ``on_freed`` is called with each job of one
    that is ended here. Raises NameTaken, Interrupted, StoreUnavailable.
    """
    while rivals := await ledger.call(store.instances.register, candidate.instance, candidate.lock):
        for rival in rivals:
            if candidate.takeover:
                _log.warning("taking over from another worker of this name", other=rival.instance, host=rival.host)
                for job in await ledger.call(store.rescues.take_over, rival.instance):
                    on_freed(job)
            elif rival.alive or await _shows_life(store, ledger, rival, stop):
                raise NameTaken(
                    f"worker id {rival.worker_id!r} is in use on host {rival.host} (pid {rival.pid}); "
                    "choose another with --worker-id, or end that one with --takeover"
                )
            else:
                for job in await ledger.call(store.rescues.rescue, rival.instance, rival.heartbeat):
                    on_freed(job)
                await ledger.call(candidate.clear_up_after, rival.instance)
                await ledger.call(store.instances.end, rival.instance, rival.heartbeat)


async def _shows_life(store: Store, ledger: Ledger, rival: WorkerRecord, stop: StopRequest) -> bool:
    """Watch a worker's heartbeat counter through three of its intervals, on our own clock."""
    interval = rival.heartbeat_interval_ms / 1000
    _log.warning(
        "a worker of this name may still live; watching its heartbeats", host=rival.host, seconds=HEARTBEATS * interval
    )
    vigil = Vigil(interval)
    while not stop.first.is_set():
        await ledger.call(store.database.prove_writable)
        vigil.renewed()
        now = await ledger.call(store.instances.get, rival.instance)
        if now is None or vigil.silent([now]):
            return False
        if now.heartbeat != rival.heartbeat or now.alive:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_LOOK_EVERY, interval / _LOOKS_A_HEARTBEAT)):
                await stop.first.wait()
    raise stop.interruption("no job was claimed")
