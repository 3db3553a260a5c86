"""One job in one slot, from the handing over to the recorded outcome."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from clworker.core.errors import ClaimLost, PathRefused, StoreUnavailable
from clworker.core.models import Cause, Claim, ComputeJob, ComputeJobStatus, Death, Outcome
from clworker.core.presence.messages import JobEvent
from clworker.core.presence.port import Broadcaster
from clworker.core.settings import Settings
from clworker.core.store.store import Store
from clworker.core.tasks.messages import one_line
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.limits import Exceeded, first_exceeded
from clworker.core.worker.outputs import Placement
from clworker.core.worker.reports import checked
from clworker.core.worker.slots import Slot

PROGRESS_EVERY = 0.5
"""Seconds between two writes of one job's progress."""

UNTOLD = 0.02
"""Seconds after which the start of a job is told; of shorter jobs only the outcome is."""

_log = structlog.get_logger("clworker.worker")


@dataclass(frozen=True)
class Surroundings:
    """What every execution of a worker shares."""

    settings: Settings
    store: Store
    ledger: Ledger
    broadcaster: Broadcaster
    return_jobs: asyncio.Event
    """Set when running jobs are to go back to the queue at once."""

    def tell_state(self, job: ComputeJob) -> None:
        """Publish the state that a job has come into."""
        self.broadcaster.publish_event(JobEvent(job.job_id, ComputeJobStatus(job.status), job.progress))


class Execution:
    """Runs one claimed job and sees to it that its end is recorded, or nothing of it is."""

    def __init__(self, claim: Claim, slot: Slot, around: Surroundings) -> None:
        self._claim = claim
        self._slot = slot
        self._around = around
        self._placement = Placement(claim.job.params, around.settings.output_roots, claim.token, claim.older_tokens)
        self._started = asyncio.Event()
        self._progress = 0
        self._progressed = asyncio.Event()
        self._claim_lost = asyncio.Event()
        self._answered = False

    async def run(self) -> None:
        """Run the job to its recorded end. Raises StoreUnavailable when that had to be given up."""
        self._slot.busy = True
        self._slot.output.context = {"job_id": self._claim.job_id, "task_type": self._claim.job.task_type}
        try:
            await self._conclude(await self._first_of_all())
        except ClaimLost as loss:
            _log.warning("claim lost; the attempt is not recorded", reason=str(loss))
            await self._insist("close attempt", self._around.store.claims.abandon, self._claim)
        finally:
            await self._end_slot_unless_idle()
            await self._around.ledger.call(self._placement.discard)
            self._slot.busy = False

    def lose_claim(self) -> None:
        """Stop the job and record nothing: the claim on it is gone."""
        self._claim_lost.set()

    async def _first_of_all(self) -> Any:
        """Return what ends the attempt: the slot's outcome or death, a limit, a stop, a lost claim."""
        job = self._claim.job
        order = {
            "job_id": job.job_id,
            "task_type": job.task_type,
            "params": job.params,
            "token": self._claim.token,
            "older_tokens": list(self._claim.older_tokens),
        }
        listening = asyncio.create_task(self._listen(order))
        endings: list[asyncio.Task[Any]] = [
            listening,
            asyncio.create_task(self._watch_limits()),
            asyncio.create_task(_cause_after(self._claim_lost, Cause.SUPERSEDED)),
            asyncio.create_task(_cause_after(self._around.return_jobs, Cause.STOPPED)),
        ]
        writing = asyncio.create_task(self._write_progress())
        try:
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
            # An outcome that has arrived counts more than a limit or a stop of the same moment.
            return next(ending for ending in endings if ending.done()).result()
        finally:
            await cancelled([*endings, writing])

    async def _conclude(self, ending: Any) -> None:
        if isinstance(ending, Outcome):
            await self._finish(ending)
        elif isinstance(ending, Death):
            await self._after_death(ending)
        elif isinstance(ending, Exceeded):
            await self._end_slot_unless_idle()
            await self._finish(Outcome.failed(ending.message, ending.cause, death=await self._own_death()))
        elif ending is Cause.SUPERSEDED:
            raise ClaimLost(f"job {self._claim.job_id} was taken from this worker while it ran")
        else:
            await self._end_slot_unless_idle()
            await self._give_back(ending, counted=False)

    async def _listen(self, order: dict[str, Any]) -> Outcome | Death:
        try:
            await self._slot.channel.send(order)
        except OSError:
            return await self._slot.died()
        except ValueError as failure:
            self._answered = True
            return Outcome.failed(f"params cannot be handed to a task: {failure}")
        while (message := await self._next_message()) is not None:
            match message["type"]:
                case "started":
                    self._started.set()
                    _log.info("job started", attempt=self._claim.attempt)
                case "staged":
                    self._placement.note_staged(message["created"])
                case "progress":
                    self._progress = message["percent"]
                    self._progressed.set()
                case "log":
                    _relay(message)
                case "outcome":
                    self._answered = True
                    self._slot.jobs_done += 1
                    return _outcome_of(message)
        return await self._slot.died()

    async def _next_message(self) -> dict[str, Any] | None:
        try:
            message = await self._slot.channel.receive()
            return None if message is None else checked(message)
        except ValueError as failure:
            _log.warning("the slot is ended: its task has broken the channel", reason=str(failure))
            self._slot.kill()
            return None

    async def _watch_limits(self) -> Exceeded:
        await self._started.wait()
        settings = self._around.settings
        return await first_exceeded(self._slot.pid, settings.time_limit, settings.memory_limit_mib)

    async def _write_progress(self) -> None:
        store = self._around.store
        await self._started.wait()
        await asyncio.sleep(UNTOLD)
        self._publish(ComputeJobStatus.PROCESSING, self._progress)
        while True:
            await self._progressed.wait()
            self._progressed.clear()
            percent = self._progress
            try:
                await self._around.ledger.call(store.claims.progress, self._claim, percent)
            except ClaimLost:
                self.lose_claim()
                return
            except StoreUnavailable as failure:
                _log.debug("progress not written", reason=str(failure))
            self._publish(ComputeJobStatus.PROCESSING, percent)
            await asyncio.sleep(PROGRESS_EVERY)

    async def _finish(self, outcome: Outcome) -> None:
        done = outcome.status is ComputeJobStatus.COMPLETED
        place: Callable[[], None] = self._placement.place if done else _nothing
        try:
            await self._insist("record outcome", self._around.store.claims.finish, self._claim, outcome, place)
        except PathRefused as refusal:
            outcome = Outcome.failed(one_line(str(refusal)))
            await self._insist("record outcome", self._around.store.claims.finish, self._claim, outcome)
        if outcome.status is ComputeJobStatus.COMPLETED:
            _log.info("job completed")
        else:
            _log.warning("job failed", error=outcome.error_message, cause=str(outcome.cause))
        self._publish(outcome.status, 100 if outcome.status is ComputeJobStatus.COMPLETED else self._progress)

    async def _after_death(self, death: Death) -> None:
        """A slot died that nobody asked to end: the job is tried again while it has retries."""
        job = self._claim.job
        cause = Cause.OUT_OF_MEMORY if death.out_of_memory else Cause.DIED
        if not self._started.is_set():
            await self._give_back(Cause.NEVER_STARTED, counted=False, death=death)
        elif job.retry_count < job.max_retries:
            await self._give_back(cause, counted=True, death=death)
        else:
            tries = f"attempt {self._claim.attempt} of {job.max_retries + 1}"
            await self._finish(Outcome.failed(f"the process that ran the job {death}, {tries}", cause, death))

    async def _give_back(self, cause: Cause, *, counted: bool, death: Death | None = None) -> None:
        await self._insist(
            "return job", self._around.store.claims.give_back, self._claim, cause, counted=counted, death=death
        )
        how = {"death": str(death)} if death else {}
        _log.warning("job returned to the queue", cause=str(cause), counted=counted, **how)
        self._publish(ComputeJobStatus.QUEUED, 0)

    async def _insist(self, what: str, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        await self._around.ledger.insist(what, self._around.return_jobs, function, *args, **kwargs)

    async def _end_slot_unless_idle(self) -> None:
        """Kill a slot that is still at the job; one that has answered stays for the next."""
        if not self._answered and not self._slot.has_died:
            self._slot.kill()
            await self._slot.died()

    async def _own_death(self) -> Death | None:
        return await self._slot.died() if self._slot.has_died else None

    def _publish(self, status: ComputeJobStatus, progress: int) -> None:
        self._around.broadcaster.publish_event(JobEvent(self._claim.job_id, status, progress))


def _outcome_of(message: dict[str, Any]) -> Outcome:
    memory = Death(peak_memory_kib=message["peak_kib"])
    if message["error"] is not None:
        return Outcome.failed(one_line(message["error"]), death=memory)
    return Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output=message["output"], death=memory)


def _relay(message: dict[str, Any]) -> None:
    extra = dict(message["extra"])
    if message.get("exception"):
        extra["exception"] = message["exception"]
    logging.getLogger(message["logger"]).log(message["level"], message["event"], extra=extra)


async def _cause_after(event: asyncio.Event, cause: Cause) -> Cause:
    await event.wait()
    return cause


async def cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _nothing() -> None:
    pass
