"""One job in one slot, from its start to the recorded end of the attempt."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from clworker.core.errors import ClaimLost, DatabaseTrouble, PathRefused, StoreUnavailable
from clworker.core.frames import Message
from clworker.core.models.attempts import Cause, Claim, Death, Ending, Outcome, Return
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.presence.messages import JobEvent
from clworker.core.presence.port import Broadcaster
from clworker.core.settings import Settings
from clworker.core.store.claims import Settlement
from clworker.core.store.identity import InstanceLock
from clworker.core.store.store import Store
from clworker.core.tasks.messages import one_line
from clworker.core.worker.desk import Desk, Matter
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.limits import Exceeded, first_exceeded
from clworker.core.worker.missed import MissedInputs
from clworker.core.worker.observer import Observer, Unobserved
from clworker.core.worker.outputs import Placement
from clworker.core.worker.progress import ProgressWriter
from clworker.core.worker.reports import relay
from clworker.core.worker.situation import RunningJob
from clworker.core.worker.slots import Slot

_log = structlog.get_logger("clworker.worker")


@dataclass(frozen=True)
class Surroundings:
    """What every execution of a worker shares."""

    settings: Settings
    store: Store
    ledger: Ledger
    broadcaster: Broadcaster
    lock: InstanceLock
    observer: Observer = field(default_factory=Unobserved)
    missed: MissedInputs | None = None
    """Jobs that are left to other hosts; None where each ends in ``error`` whose input is missing."""

    def tell_state(self, job: ComputeJob) -> None:
        """Publish the state that a job has come into."""
        self.publish(job.job_id, ComputeJobStatus(job.status), job.progress)

    def publish(self, job_id: str, status: ComputeJobStatus, progress: int) -> None:
        """Publish the state of a job."""
        self.broadcaster.publish_event(JobEvent(job_id, status, progress))


class Execution:
    """Runs one claimed job and sees to it that its end is recorded, or nothing of it is."""

    def __init__(self, claim: Claim, slot: Slot, around: Surroundings, desk: Desk) -> None:
        self.claim = claim
        self.began: float | None = None
        """When it became the slot's turn, on the monotonic clock."""
        self.answered = False
        self._seconds = 0.0
        self._slot = slot
        self._around = around
        self._desk = desk
        self._placement = Placement(claim.job.params, around.settings.output_roots, claim.token, claim.older_tokens)
        self._progress = 0
        self._progress_writer: ProgressWriter | None = None
        self._limits: asyncio.Task[None] | None = None
        self._told = False
        self._start_logged = False
        self._end_after_death: Callable[[Death], Ending] | None = None

    @property
    def order(self) -> Message:
        """What the slot needs to know."""
        job = self.claim.job
        return {
            "job_id": job.job_id,
            "task_type": job.task_type,
            "params": job.params,
            "token": self.claim.token,
            "older_tokens": list(self.claim.older_tokens),
        }

    @property
    def is_long(self) -> bool:
        """Whether it has been running for more than a moment, whatever was expected of it."""
        return self._told

    @property
    def state(self) -> RunningJob:
        """How far it is."""
        seconds = 0.0 if self.began is None else time.monotonic() - self.began
        return RunningJob(self.claim.job_id, self.claim.job.task_type, self._progress, seconds)

    def begin(self, *, is_quick: bool) -> None:
        """The slot has nothing else to do from now on. Of jobs that are quick only the outcome is logged."""
        self.began = time.monotonic()
        self._slot.output.context = self._context
        if not is_quick:
            self._log_start()
        settings = self._around.settings
        if self._limits is not None:
            self._limits.cancel()  # its turn had come before, but the slot has taken another first
        if settings.time_limit is not None or settings.memory_limit_mib is not None:
            self._limits = asyncio.create_task(self._watch_limits())

    def tell_start(self) -> None:
        """Publish that a job runs which takes more than a moment; of others only the outcome is published."""
        if not self._told:
            self._told = True
            self._log_start()
            self._around.publish(self.claim.job_id, ComputeJobStatus.PROCESSING, self._progress)

    def receive(self, message: Message) -> None:
        """Take a message of the slot about this job."""
        match message["type"]:
            case "staged":
                self._placement.note_staged(message["created"])
            case "progress":
                self._progress = message["percent"]
                self._write_progress()
            case "log":
                relay(message, self._context)
            case "outcome":
                self.answered = True
                self._conclude(message)

    def _conclude(self, message: Message) -> None:
        missed, path = self._around.missed, message["missing_input"]
        if missed is not None and path is not None and missed.takes(path):
            missed.note(self.claim, path)
            self._settle(lambda: Return(Cause.INPUT_MISSING))
        else:
            outcome = self._held(_outcome_of(message))
            self._settle(lambda: self._placed(outcome))

    def _held(self, outcome: Outcome) -> Outcome:
        """Fail a job whose output the database cannot hold, before its files are placed or others recorded with it."""
        refusal = self._around.store.claims.refusal_of(outcome.output)
        if refusal is None:
            return outcome
        return Outcome.failed(f"the task's output cannot be kept in the database: {refusal}", death=outcome.death)

    def slot_died(self, death: Death) -> None:
        """Settle what was at work in a slot that has died."""
        end = self._end_after_death or self._ending_of
        ending = end(death)
        self._settle(lambda: ending)

    def refuse(self, reason: str) -> None:
        """End a job that cannot be handed to a slot."""
        outcome = Outcome.failed(reason)
        self._settle(lambda: outcome)

    def hand_back(self, cause: Cause = Cause.NEVER_STARTED) -> None:
        """Return a job that the slot has not begun."""
        ending = Return(cause)
        self._settle(lambda: ending)

    def stop(self) -> None:
        """End the slot and return the job to the queue, uncounted."""
        self._end_slot(lambda death: Return(Cause.STOPPED))

    def lose_claim(self) -> None:
        """End the slot; the claim on the job is gone, and nothing is recorded."""
        self._end_slot(lambda death: Return(Cause.SUPERSEDED))

    @property
    def _context(self) -> dict[str, Any]:
        return {"job_id": self.claim.job_id, "task_type": self.claim.job.task_type}

    def _log_start(self) -> None:
        if not self._start_logged:
            self._start_logged = True
            _log.info("job started", attempt=self.claim.attempt, **self._context)

    def _end_slot(self, end: Callable[[Death], Ending]) -> None:
        if self._end_after_death is None and not self.answered:
            self._end_after_death = end
            self._slot.kill()

    async def _watch_limits(self) -> None:
        settings = self._around.settings
        exceeded: Exceeded = await first_exceeded(self._slot.pid, settings.time_limit, settings.memory_limit_mib)
        self._end_slot(lambda death: Outcome.failed(exceeded.message, exceeded.cause, death=death))

    def _write_progress(self) -> None:
        if self._progress_writer is None:
            self._progress_writer = ProgressWriter(self._save_progress)
        self._progress_writer.note(self._progress)

    async def _save_progress(self, percent: int) -> None:
        try:
            await self._around.ledger.call(self._around.store.claims.progress, self.claim, percent)
        except ClaimLost:
            self.lose_claim()
            return
        except StoreUnavailable as failure:
            _log.debug("progress not written", reason=str(failure), **self._context)
        self.tell_start()
        self._around.publish(self.claim.job_id, ComputeJobStatus.PROCESSING, percent)

    def _ending_of(self, death: Death) -> Ending:
        """A slot died that nobody asked to end: the job is tried again while it has retries."""
        claim, job = self.claim, self.claim.job
        cause = Cause.OUT_OF_MEMORY if death.out_of_memory else Cause.DIED
        if self._slot.was_killed:  # because of the job before this one
            return Return(Cause.STOPPED)
        if not self._around.lock.has_started(claim.token):
            return Return(Cause.NEVER_STARTED, death=death)
        if job.retry_count < job.max_retries:
            return Return(cause, counted=True, death=death)
        tries = f"attempt {claim.attempt} of {job.max_retries + 1}"
        return Outcome.failed(f"the process that ran the job {death}, {tries}", cause, death)

    def _placed(self, outcome: Outcome) -> Outcome:
        """Place the outputs, with the claim proven; an output that cannot be placed fails the job."""
        if outcome.status is ComputeJobStatus.COMPLETED:
            try:
                self._placement.place()
            except PathRefused as refusal:
                return Outcome.failed(one_line(str(refusal)), death=outcome.death)
        return outcome

    def _settle(self, conclude: Callable[[], Ending]) -> None:
        if self.began is not None:
            self._seconds = time.monotonic() - self.began
        if self._limits is not None:
            self._limits.cancel()
        if self._progress_writer is not None:
            self._progress_writer.stop()
        clean_up = self._placement.discard if self._placement.has_files else None
        self._desk.hand_in(Matter(Settlement(self.claim, conclude), self._settled, clean_up))

    def _settled(self, result: Ending | ClaimLost | DatabaseTrouble) -> None:
        context = {"attempt": self.claim.attempt, **self._context}
        if isinstance(result, ClaimLost):
            self._around.observer.claim_lost(self.claim)
            _log.warning("claim lost; the attempt is not recorded", reason=str(result), **context)
        elif isinstance(result, DatabaseTrouble):
            _log.error("the end of a job could not be recorded", reason=str(result), **context)
        elif isinstance(result, Return):
            self._returned(result, context)
        else:
            self._decided(result, context)

    def _decided(self, result: Outcome, context: dict[str, Any]) -> None:
        self._around.observer.job_ended(self.claim, result, self._seconds)
        if result.status is ComputeJobStatus.COMPLETED:
            _log.info("job completed", **context)
            self._around.publish(self.claim.job_id, result.status, 100)
        else:
            _log.warning("job failed", error=result.error_message, cause=str(result.cause), **context)
            self._around.publish(self.claim.job_id, result.status, self._progress)

    def _returned(self, result: Return, context: dict[str, Any]) -> None:
        if result.cause is Cause.NEVER_STARTED and result.death is None:
            _log.debug("job returned to the queue, unstarted", **context)
            return
        self._around.observer.job_returned(self.claim, result.cause)
        if result.cause is not Cause.INPUT_MISSING:  # of which there is a log line already
            how = {"death": str(result.death)} if result.death else {}
            _log.warning("job returned to the queue", cause=str(result.cause), counted=result.counted, **how, **context)
        self._around.publish(self.claim.job_id, ComputeJobStatus.QUEUED, 0)


def _outcome_of(message: Message) -> Outcome:
    memory = Death(peak_memory_kib=message["peak_kib"])
    if message["error"] is not None:
        return Outcome.failed(one_line(message["error"]), death=memory)
    return Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output=message["output"], death=memory)
