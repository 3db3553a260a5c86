"""The answer: one function for each status, from the facts to a reason, a plain sentence and advice."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from clworker.core.explain.evidence import Evidence, evidence
from clworker.core.explain.facts import (
    SILENT_HEARTBEATS,
    Facts,
    Plugin,
    is_silent,
    is_unheard,
    misses_input,
    open_attempt,
    serving,
)
from clworker.core.explain.words import ahead, at, capital, count, death, estimate, few, sentence, since
from clworker.core.models.attempts import Cause
from clworker.core.models.jobs import CANCELLED, ComputeJobStatus
from clworker.core.models.workers import WorkerView
from clworker.core.times import as_seconds

_SOON_MS = 10_000
"""A job that has waited no longer than this beside a free slot is simply about to be claimed."""


class Reason(StrEnum):
    """The answer in a word, for scripts."""

    NO_WORKER = "no-worker"
    NOT_ANNOUNCED = "not-announced"
    PLUGIN_BROKEN = "plugin-broken"
    PLUGIN_MISSING = "plugin-missing"
    SLOTS_BUSY = "slots-busy"
    INPUT_MISSING = "input-missing"
    ABOUT_TO_START = "about-to-start"
    NOT_TAKEN = "not-taken"
    WAITING = "waiting"
    RUNNING = "running"
    WORKER_SILENT = "worker-silent"
    WORKER_DEAD = "worker-dead"
    WORKER_UNPROVEN = "worker-unproven"
    FOREIGN_WORKER = "foreign-worker"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DIED = "died"
    LIMIT = "limit"
    FAILED = "failed"
    UNKNOWN_STATUS = "unknown-status"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer, what to do about it if anything, and what it rests on."""

    job_id: str
    status: str
    reason: Reason
    answer: str
    advice: str | None
    evidence: Sequence[Evidence]


Answer = tuple[Reason, str, str | None]
"""The reason, the plain answer, and the advice."""


def explain(facts: Facts) -> Explanation:
    """Find the answer."""
    match facts.job.status:
        case ComputeJobStatus.QUEUED:
            answer = _queued(facts)
        case ComputeJobStatus.PROCESSING:
            answer = _processing(facts)
        case ComputeJobStatus.COMPLETED:
            answer = _completed(facts)
        case ComputeJobStatus.ERROR:
            answer = _error(facts)
        case unknown:
            answer = (Reason.UNKNOWN_STATUS, f"Another program has given it the status {unknown!r}.", None)
    return Explanation(facts.job.job_id, facts.job.status, *answer, list(evidence(facts)))


def _queued(facts: Facts) -> Answer:
    task = facts.job.task_type
    servers = serving(facts)
    live = [view for view in facts.workers if view.alive is not False and view.role in (None, "run")]
    takers = servers or (live if facts.broker_silence is not None else [])
    able = [view for view in takers if not misses_input(facts, view)]
    if takers and not able:
        return _input_missing(facts, takers)
    if servers:
        return _served(facts, able)
    if not live:
        without, reason = "no worker runs here", Reason.NO_WORKER
    elif facts.broker_silence is None:
        without, reason = f"no live worker announces the task {task!r}", Reason.NOT_ANNOUNCED
    else:
        without, reason = "what the live workers run is told at the broker alone, which cannot be asked", Reason.WAITING
    match facts.plugin:
        case Plugin("broken", why):
            return Reason.PLUGIN_BROKEN, f"It waits: {without}, and its plugin is broken here: {why}", "mend the plugin"
        case Plugin("missing", why):
            return (
                Reason.PLUGIN_MISSING,
                f"It waits: {without}; {sentence(str(why))}",
                f"install the plugin of {task!r}, or cancel the job",
            )
        case _ if reason is Reason.WAITING:
            return reason, f"It waits, {ahead(facts.line)}; {without}.", None
        case _:
            return reason, f"It waits: {without}.", f"start one with 'clworker run -t {task}'"


def _input_missing(facts: Facts, takers: Sequence[WorkerView]) -> Answer:
    paths = facts.job.params.get("input_paths") if isinstance(facts.job.params, dict) else None
    which = f"its input {paths[0]}" if isinstance(paths, list) and len(paths) == 1 else "one of its inputs"
    names = few([repr(view.worker_id) for view in takers])
    return (
        Reason.INPUT_MISSING,
        f"It waits for a worker on another host: {which} is not seen by {names}.",
        "start a worker where the input is, or put it into a folder of these workers, which look for it again",
    )


def _served(facts: Facts, servers: Sequence[WorkerView]) -> Answer:
    names = few([repr(view.worker_id) for view in servers])
    if all(is_silent(facts, view) for view in servers):
        return (
            Reason.WORKER_SILENT,
            f"It waits: what announces its task ({names}) has been silent for {SILENT_HEARTBEATS} heartbeats.",
            "see whether these workers are stopped or gone: 'clworker workers', 'clworker clear-capability --stale'",
        )
    free = sum(view.idle_count or 0 for view in servers if not is_silent(facts, view))
    if free <= 0:
        return Reason.SLOTS_BUSY, f"It waits: every slot is busy, {ahead(facts.line)}{estimate(facts.line)}.", None
    if facts.now - (facts.job.updated_at or facts.job.created_at) <= _SOON_MS:
        return (
            Reason.ABOUT_TO_START,
            f"It is about to start: {names} announced {count(free, 'free slot')}.",
            None,
        )
    return (
        Reason.NOT_TAKEN,
        f"It waits although {names} announced a free slot: that worker is stopped, or works on another database.",
        "compare the worker's DATABASE_URL and CL_SERVER_DIR with those here, and look into its log",
    )


def _processing(facts: Facts) -> Answer:
    held_since = since(facts.now, facts.job.started_at)
    attempt = open_attempt(facts.job, facts.attempts)
    retry = f"'clworker jobs retry --force {facts.job.job_id}'"
    if attempt is None:
        return (
            Reason.FOREIGN_WORKER,
            f"A worker of another program holds it {held_since}; it keeps no attempt, so nothing tells if it lives.",
            f"if that worker is known to be gone: {retry}",
        )
    if facts.holder is None:
        who = f"worker {attempt.worker_id!r}"
        return (
            Reason.WORKER_DEAD,
            f"Its {who}, which held it {held_since}, has ended without letting go.",
            f"take it back: {retry}",
        )
    who = str(facts.holder)
    if facts.holder.alive is False:
        return (
            Reason.WORKER_DEAD,
            f"It waits for its rescue: {who} took it {at(facts.now, facts.job.started_at)} and is dead.",
            f"start any worker or 'clworker once' on that host, or take it back at once: {retry}",
        )
    if is_unheard(facts, facts.holder):
        return (
            Reason.WORKER_SILENT,
            f"{capital(who)} holds it {held_since}, but is silent at the broker: stopped, hanging or cut off.",
            f"see what that process does, or end the job: 'clworker jobs cancel {facts.job.job_id}'",
        )
    if facts.holder.alive is None:
        return (
            Reason.WORKER_UNPROVEN,
            f"{capital(who)} holds it {held_since}, at {facts.job.progress}%; only heartbeats tell whether it lives.",
            None,
        )
    return Reason.RUNNING, f"It runs: {who} holds it {held_since}, at {facts.job.progress}%.", None


def _completed(facts: Facts) -> Answer:
    took = as_seconds(facts.job.started_at, facts.job.completed_at)
    after = f" after {took} s" if took else ""
    return Reason.COMPLETED, f"It completed {at(facts.now, facts.job.completed_at)}{after}.", None


def _error(facts: Facts) -> Answer:
    job = facts.job
    last = next((one for one in reversed(facts.attempts) if one.started_at == job.started_at), None)
    retry = f"try it again: 'clworker jobs retry {job.job_id}'"
    when = at(facts.now, job.completed_at)
    if job.error_message == CANCELLED:
        return Reason.CANCELLED, f"It was cancelled by hand {when}.", retry
    cause = last.cause if last else None
    took = as_seconds(job.started_at, job.completed_at)
    if last and cause in (Cause.DIED, Cause.RESCUED):
        what = f"the process that ran it {death(last)}" if death(last) else "the worker died"
        tries = count(job.retry_count + 1, "time")
        return Reason.DIED, f"It was tried {tries}; at last {what}, {when}.", retry
    if cause in (Cause.TIME_LIMIT, Cause.MEMORY_LIMIT):
        return Reason.LIMIT, f"It was ended {when}: {job.error_message}.", f"raise the limit of the worker; {retry}"
    who = "The task" if last else "Another program has recorded that it"
    return Reason.FAILED, f"{who} failed {when}{f' after {took} s' if took else ''}: {job.error_message}", retry
