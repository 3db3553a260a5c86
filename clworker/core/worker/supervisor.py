"""The supervisor: claims jobs, has slots run them, and keeps up the worker's presence."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
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
from clworker.core.models.attempts import signal_name
from clworker.core.models.jobs import ComputeJob
from clworker.core.presence.messages import announces_queued
from clworker.core.presence.port import Presence
from clworker.core.store.changes import Changes
from clworker.core.store.identity import Instance
from clworker.core.store.queue import Choice
from clworker.core.worker import naming
from clworker.core.worker.announcer import Announcer
from clworker.core.worker.desk import Desk
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.lanes import Lanes
from clworker.core.worker.membership import Membership
from clworker.core.worker.pool import SlotPool
from clworker.core.worker.rescuer import Rescuer
from clworker.core.worker.service import ServiceManager
from clworker.core.worker.signals import StopRequest
from clworker.core.worker.situation import Phase, Situation
from clworker.core.worker.wakeup import WakeUp, watch_changes

_PAUSE_AFTER_DEATH = 0.5
_log = structlog.get_logger("clworker.worker")


@dataclass(frozen=True)
class Identity:
    """Who this worker is, and what it can do."""

    instance: Instance
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
        self._desk = Desk(around.store, around.ledger, identity.instance.instance, identity.task_types)
        self._desk.ask = self._wakeup.set
        self._lanes = Lanes(pool, around, self._desk)
        self._announcer = Announcer(around.broadcaster, settings.worker_id, identity.task_types, self._idle_count)
        self._failure: BaseException | None = None
        self._freed: list[ComputeJob] = []
        self._appeared = False
        self._may_still_be_seen = False
        self._call = around.ledger.call

    async def __aenter__(self) -> "ComputeWorker":
        """Register this instance. Raises NameTaken, Interrupted and StoreUnavailable."""
        around, lock = self._around, self._around.lock
        lock.needed_as_proof = True
        candidate = naming.Candidate(
            self._identity.instance, lock.file, around.settings.takeover, Rescuer(around).clear_up_after
        )
        try:
            await naming.register(around.store, around.ledger, candidate, self._stop, self._freed.append)
        except BaseException:
            lock.needed_as_proof = False
            raise
        await around.ledger.call(around.store.instances.prune)
        return self

    async def __aexit__(self, *_failure: object) -> None:
        """Note the end of this instance, unless something of it is left for a rescuer."""
        await self._membership.close()
        if self._may_still_be_seen:
            return  # registered and dead: whoever sees that will remove the message once the broker is back
        try:
            ended = await self._call(self._around.store.instances.end, self._identity.instance.instance)
        except DatabaseTrouble as failure:
            _log.warning("the worker's end could not be noted", reason=str(failure))
        else:
            self._around.lock.needed_as_proof = not ended

    async def has_work(self) -> bool:
        """Tell whether a job waits, or a dead worker whose jobs would. Only looks, and needs no registration.

        Raises StoreUnavailable.
        """
        store = self._around.store
        if await self._call(store.claims.any_waiting, self._identity.task_types):
            return True
        return bool(await self._call(store.instances.provably_dead))

    async def run_once(self) -> ComputeJob | None:
        """Claim one job, run it and return it as it then stands; None when nothing waited.

        The first signal has the job returned to the queue. Raises StoreUnavailable.
        """
        store, instance = self._around.store, self._identity.instance.instance
        rescuer = Rescuer(self._around)
        await rescuer.rescue_dead()
        await self._lanes.fill()
        claims = await self._call(store.claims.claim, instance, self._identity.task_types)
        if not claims:
            await rescuer.finish()
            return None
        self._lanes.hand_out(claims)
        duties = [self._membership.beat(), self._lanes.watch_claims(instance), self._return_jobs_after_signal()]
        async with self._background(duties):
            await self._settle_all()
        await rescuer.finish()
        job = await self._call(store.jobs.get, claims[0].job_id)
        if job is None:
            raise StagingFailed(f"job {claims[0].job_id} was deleted while it ran")
        return job

    async def run(self) -> None:
        """Work until a signal or a takeover ends it, then drain.

        Raises Interrupted after a second signal, InstanceEnded after a takeover, and
        DatabaseLost, once the jobs have been ended, when going on makes no sense.
        """
        stop, taken_over = self._stop, self._membership.taken_over
        self._pool.watch_deaths(self._notice_death)
        await self._lanes.fill()
        changes = await self._call(self._around.store.watch_changes)
        try:
            async with self._background(self._duties(changes)):
                await self._appear()
                await self._work()
                await self._drain()
        finally:
            # The order matters: no heartbeat may follow the clearing.
            if not taken_over.is_set():
                await self._disappear()
            changes.close()
        if taken_over.is_set():
            raise InstanceEnded(f"another worker has taken over the name {self._around.settings.worker_id!r}")
        if stop.second.is_set() and stop.signal_number is not None:
            raise Interrupted(stop.signal_number, f"stopped by a second {signal_name(stop.signal_number)}")

    def situation(self) -> Situation:
        """Return how this worker stands at this moment. In the event loop's thread."""
        phase = Phase.DRAINING if self._is_stopping() else Phase.WORKING if self._appeared else Phase.STARTING
        types = self._identity.task_types
        return Situation(phase, types, self._lanes.states, self._desk.fault, self._pool.plugins_alive)

    def _duties(self, changes: Changes) -> Iterator[Coroutine[Any, Any, None]]:
        settings = self._around.settings
        yield self._announcer.run(settings.heartbeat_interval)
        yield self._membership.beat()
        yield self._membership.watch()
        yield self._lanes.watch_claims(self._identity.instance.instance)
        yield watch_changes(changes, self._wakeup)
        yield self._wake_after(self._stop.first)
        yield self._wake_after(self._membership.taken_over)
        if self._around.missed is not None:
            yield self._around.missed.watch(self._wakeup.set)
        if settings.watchdog_interval is not None:
            yield self._service.feed_watchdog(settings.watchdog_interval)

    @asynccontextmanager
    async def _background(self, duties: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Have coroutines run beside the block; the failure of one is raised by the next turn."""
        tasks = [asyncio.create_task(duty) for duty in duties]
        for task in tasks:
            task.add_done_callback(self._notice_failure)
        try:
            yield
        except DatabaseLost as failure:
            _log.error("the database is lost; the worker stops", reason=str(failure))
            await self._abandon_all(failure)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _appear(self) -> None:
        """Show this worker at the broker and to the service manager."""

        def on_event(payload: bytes) -> None:
            if announces_queued(payload):
                self._wakeup.set_from_thread()

        worker_id = self._around.settings.worker_id
        self._around.broadcaster.appear(Presence(worker_id, on_event, self._membership.may_connect))
        for job in self._freed:  # told only now, since the first message connects and a Will must come before
            self._around.tell_state(job)
        await self._service.ready()
        self._appeared = True
        _log.info("worker started", tasks=list(self._identity.task_types), slots=self._around.settings.concurrency)

    async def _disappear(self) -> None:
        self._may_still_be_seen = not await asyncio.to_thread(self._around.broadcaster.clear_retained)
        if self._may_still_be_seen:
            _log.warning("the broker has not confirmed that the worker's message is removed")

    async def _work(self) -> None:
        while not self._is_stopping():
            self._wakeup.clear()
            await self._lanes.fill()
            if self._is_stopping():
                return
            await self._exchange(*self._lanes.appetite())
            await self._lanes.return_forgotten(self._identity.instance.instance)
            await self._wakeup.wait(self._around.settings.poll_interval)

    async def _settle_all(self) -> None:
        """Go on until all that runs has ended and is recorded; claim nothing more."""
        while not (self._lanes.are_idle and self._desk.is_clear):
            self._wakeup.clear()
            await self._exchange(0, len)
            if not (self._lanes.are_idle and self._desk.is_clear):
                await self._wakeup.wait(self._around.settings.poll_interval)

    async def _exchange(self, limit: int, choose: Choice) -> None:
        """Record what has ended and claim what comes next."""
        if self._failure is not None:
            raise self._failure
        if limit or not self._desk.is_clear:
            exchange = await self._desk.exchange(limit, choose)
            if self._desk.is_closed:
                asyncio.get_running_loop().call_later(self._desk.pause, self._wakeup.set)
            if exchange is not None and exchange.ended:
                with suppress(StoreUnavailable):
                    await self._membership.renew()
                self._wakeup.set()
            elif exchange is not None:
                self._lanes.hand_out(exchange.claims)
                self._wakeup.want_commits(len(exchange.claims) < limit)
        self._announcer.state_changed()

    async def _drain(self) -> None:
        """Let running jobs end for a while, then have them returned to the queue."""
        timeout = self._around.settings.drain_timeout
        await self._service.stopping(timeout)
        _log.info("worker stops", running=len(self._lanes.tokens), drain_timeout=timeout)
        async with self._background([self._service.ask_for_time(), self._return_jobs_after_drain(timeout)]):
            await self._settle_all()

    async def _return_jobs_after_drain(self, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._membership.taken_over.is_set() else timeout):
                await self._stop.second.wait()
        self._return_jobs()

    async def _return_jobs_after_signal(self) -> None:
        await self._stop.first.wait()
        self._return_jobs()

    def _return_jobs(self) -> None:
        self._lanes.stop()
        self._desk.lose_patience()
        self._wakeup.set()

    async def _abandon_all(self, failure: DatabaseLost) -> None:
        """End all that runs; nothing of it can be recorded."""
        self._lanes.stop()
        while not self._lanes.are_idle:
            self._wakeup.clear()
            await self._wakeup.wait(1)
        await self._desk.abandon(failure)

    def _is_stopping(self) -> bool:
        return self._stop.first.is_set() or self._membership.taken_over.is_set()

    async def _wake_after(self, event: asyncio.Event) -> None:
        await event.wait()
        self._announcer.state_changed()
        self._wakeup.set()

    def _idle_count(self) -> int:
        return 0 if self._stop.first.is_set() or self._desk.is_closed else self._lanes.idle_count

    def _notice_death(self) -> None:
        """A slot has died, perhaps an idle one: replace it soon, but not in a tight circle."""
        self._announcer.state_changed()
        asyncio.get_running_loop().call_later(_PAUSE_AFTER_DEATH, self._wakeup.set)

    def _notice_failure(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._wakeup.set()
