"""The supervisor: claims jobs, has slots run them, and keeps up the worker's presence."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from clworker.core.errors import (
    DatabaseLost,
    DatabaseTrouble,
    InstanceEnded,
    Interrupted,
    StagingFailed,
    StoreUnavailable,
)
from clworker.core.models import Claim, ComputeJob, signal_name
from clworker.core.presence.messages import announces_queued
from clworker.core.presence.port import Presence
from clworker.core.store.changes import ChangeProbe
from clworker.core.store.identity import Instance, InstanceLock
from clworker.core.worker import naming
from clworker.core.worker.announcer import Announcer
from clworker.core.worker.execution import Execution, Surroundings, cancelled
from clworker.core.worker.membership import Membership
from clworker.core.worker.outage import Outage
from clworker.core.worker.pool import SlotPool
from clworker.core.worker.rescuer import Rescuer
from clworker.core.worker.service import ServiceManager
from clworker.core.worker.signals import StopRequest
from clworker.core.worker.slots import Slot
from clworker.core.worker.wakeup import WakeUp, watch_commits

CLAIMS_CHECKED_EVERY = 0.5
"""Seconds between two looks for claims that somebody has taken from us."""

_PAUSE_WITHOUT_DATABASE = 1.0
_PAUSE_AFTER_DEATH = 0.5
_log = structlog.get_logger("clworker.worker")


@dataclass(frozen=True)
class Identity:
    """Who this worker is, and what it can do."""

    instance: Instance
    lock: InstanceLock
    task_types: Sequence[str]


class ComputeWorker:
    """One worker instance over a store and a pool of slots. It computes nothing itself."""

    def __init__(self, around: Surroundings, identity: Identity, pool: SlotPool, stop: StopRequest) -> None:
        self._around = around
        self._identity = identity
        self._pool = pool
        self._stop = stop
        settings = around.settings
        self._membership = Membership(around, identity.instance)
        self._wakeup = WakeUp()
        self._service = ServiceManager(settings.notify_socket)
        self._announcer = Announcer(around.broadcaster, settings.worker_id, identity.task_types, self._idle_count)
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._freed: list[ComputeJob] = []
        self._outage = Outage("database out of reach; claiming again once it is back")
        self._executions: dict[str, Execution] = {}
        """Those that run, by the token of their claim."""
        self._call = around.ledger.call

    async def __aenter__(self) -> "ComputeWorker":
        """Register this instance. Raises NameTaken, Interrupted and StoreUnavailable."""
        around, identity = self._around, self._identity
        identity.lock.needed_as_proof = True
        candidate = naming.Candidate(identity.instance, identity.lock.file, around.settings.takeover)
        try:
            await naming.register(around.store, around.ledger, candidate, self._stop, self._freed.append)
        except BaseException:
            identity.lock.needed_as_proof = False
            raise
        await around.ledger.call(around.store.instances.prune)
        return self

    async def __aexit__(self, *_failure: object) -> None:
        """Note the end of this instance, unless a claim of it is left for a rescuer."""
        try:
            ended = await self._call(self._around.store.instances.end, self._identity.instance.instance)
        except DatabaseTrouble as failure:
            _log.warning("the worker's end could not be noted", reason=str(failure))
        else:
            self._identity.lock.needed_as_proof = not ended

    async def run_once(self) -> ComputeJob | None:
        """Claim one job, run it and return it as it then stands; None when nothing waited.

        Raises StoreUnavailable.
        """
        await Rescuer(self._around).rescue_dead()
        await self._pool.fill()
        for claim in await self._claim(1):
            background = [asyncio.create_task(self._membership.beat()), asyncio.create_task(self._watch_claims())]
            try:
                await self._execute(claim, self._pool.idle[0])
            finally:
                await cancelled(background)
            job = await self._call(self._around.store.jobs.get, claim.job_id)
            if job is None:
                raise StagingFailed(f"job {claim.job_id} was deleted while it ran")
            return job
        return None

    async def run(self) -> None:
        """Work until a signal or a takeover ends it, then drain.

        Raises Interrupted after a second signal, InstanceEnded after a takeover, and
        DatabaseLost, once the jobs have been ended, when going on makes no sense.
        """
        stop = self._stop
        self._pool.watch_deaths(self._notice_death)
        await self._pool.fill()
        probe = await self._call(self._around.store.watch_changes)
        background = [asyncio.create_task(task) for task in self._background(probe)]
        for task in background:
            task.add_done_callback(self._notice_failure)
        try:
            await self._appear()
            await self._poll()
            await self._drain()
            if self._failure is not None:
                raise self._failure
        except DatabaseLost as failure:
            _log.error("the database is lost; the worker stops", reason=str(failure))
            await self._return_jobs()
            raise
        finally:
            # The order matters: no heartbeat may follow the clearing.
            await cancelled(background)
            if not self._membership.taken_over.is_set():
                await self._disappear()
            probe.close()
        if self._membership.taken_over.is_set():
            raise InstanceEnded(f"another worker has taken over the name {self._around.settings.worker_id!r}")
        if stop.second.is_set() and stop.signal_number is not None:
            raise Interrupted(stop.signal_number, f"stopped by a second {signal_name(stop.signal_number)}")

    def _background(self, probe: ChangeProbe) -> Iterator[Coroutine[Any, Any, None]]:
        settings = self._around.settings
        yield self._announcer.run(settings.heartbeat_interval)
        yield self._membership.beat()
        yield self._membership.watch()
        yield self._watch_claims()
        yield watch_commits(self._around.store.database.path, probe, self._wakeup)
        yield self._wake_after(self._stop.first)
        yield self._wake_after(self._membership.taken_over)
        if settings.watchdog_interval is not None:
            yield self._service.feed_watchdog(settings.watchdog_interval)

    async def _appear(self) -> None:
        """Show this worker at the broker and to the service manager."""
        loop = asyncio.get_running_loop()
        instances, instance = self._around.store.instances, self._identity.instance.instance

        def on_event(payload: bytes) -> None:
            if announces_queued(payload):
                self._wakeup.set_from_thread()

        def may_connect() -> bool:
            try:
                # Looked up first, which waits for no lock.
                live = instances.is_live(instance) or self._membership.is_member()
            except DatabaseTrouble:
                return True  # nobody can have taken over through a database that is away
            if not live:
                loop.call_soon_threadsafe(self._membership.taken_over.set)
            return live

        worker_id = self._around.settings.worker_id
        self._around.broadcaster.appear(Presence(worker_id, on_event, may_connect))
        for job in self._freed:  # told only now, since the first message connects and a Will must come before
            self._around.tell_state(job)
        await self._service.ready()
        _log.info("worker started", tasks=list(self._identity.task_types), slots=self._around.settings.concurrency)

    async def _disappear(self) -> None:
        if not await asyncio.to_thread(self._around.broadcaster.clear_retained):
            _log.warning("the broker has not confirmed that the worker's message is removed")

    async def _poll(self) -> None:
        while not self._is_stopping():
            self._wakeup.clear()
            await self._look_for_work()
            if self._failure is not None:
                raise self._failure
            await self._wakeup.wait(self._around.settings.poll_interval)

    async def _look_for_work(self) -> None:
        await self._pool.fill()
        idle = self._pool.idle
        if not idle or self._is_stopping():
            return
        try:
            claims = await self._claim(len(idle))
        except InstanceEnded:
            with suppress(StoreUnavailable):
                await self._membership.renew()
            self._wakeup.set()
        except StoreUnavailable as failure:
            self._outage.failed(str(failure))
            self._announcer.state_changed()
            asyncio.get_running_loop().call_later(_PAUSE_WITHOUT_DATABASE, self._wakeup.set)
        else:
            if self._outage.lasts:
                self._outage.over()
                self._announcer.state_changed()
            for slot, claim in zip(idle, claims, strict=False):
                slot.busy = True
                task = asyncio.create_task(self._execute_in_background(claim, slot))
                self._running.add(task)
                task.add_done_callback(self._notice_failure)
            if claims:
                self._announcer.state_changed()

    async def _execute_in_background(self, claim: Claim, slot: Slot) -> None:
        try:
            await self._execute(claim, slot)
        except DatabaseTrouble as failure:
            _log.error("the end of a job could not be recorded", job_id=claim.job_id, reason=str(failure))
            if isinstance(failure, DatabaseLost):
                raise
        finally:
            self._announcer.state_changed()
            self._wakeup.set()

    async def _drain(self) -> None:
        """Let running jobs end for a while, then have them returned to the queue."""
        timeout = self._around.settings.drain_timeout
        await self._service.stopping(timeout)
        _log.info("worker stops", running=len(self._running), drain_timeout=timeout)
        asking = asyncio.create_task(self._service.ask_for_time())
        if not self._membership.taken_over.is_set():
            ended = asyncio.gather(*self._running, return_exceptions=True)
            second = asyncio.create_task(self._stop.second.wait())
            either: list[asyncio.Future[Any]] = [ended, second]
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            second.cancel()
        await self._return_jobs()
        await cancelled([asking])

    async def _return_jobs(self) -> None:
        self._around.return_jobs.set()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _is_stopping(self) -> bool:
        return self._stop.first.is_set() or self._membership.taken_over.is_set()

    async def _watch_claims(self) -> None:
        """End what runs without a claim, for ever: rescued, cancelled, reset or deleted by somebody."""
        while True:
            await asyncio.sleep(CLAIMS_CHECKED_EVERY)
            running = dict(self._executions)
            if not running:
                continue
            with suppress(StoreUnavailable):
                held = await self._call(self._around.store.claims.held, self._identity.instance.instance)
                for token in running.keys() - held:
                    running[token].lose_claim()

    async def _wake_after(self, event: asyncio.Event) -> None:
        await event.wait()
        self._announcer.state_changed()
        self._wakeup.set()

    def _idle_count(self) -> int:
        return 0 if self._stop.first.is_set() or self._outage.lasts else len(self._pool.idle)

    def _notice_death(self) -> None:
        """A slot has died, perhaps an idle one: replace it soon, but not in a tight circle."""
        self._announcer.state_changed()
        asyncio.get_running_loop().call_later(_PAUSE_AFTER_DEATH, self._wakeup.set)

    def _notice_failure(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._wakeup.set()

    async def _claim(self, limit: int) -> list[Claim]:
        claims = self._around.store.claims
        return await self._call(claims.claim, self._identity.instance.instance, self._identity.task_types, limit)

    async def _execute(self, claim: Claim, slot: Slot) -> None:
        with structlog.contextvars.bound_contextvars(job_id=claim.job_id, task_type=claim.job.task_type):
            _log.info("job claimed", attempt=claim.attempt)
            self._executions[claim.token] = execution = Execution(claim, slot, self._around)
            try:
                await execution.run()
            finally:
                del self._executions[claim.token]
