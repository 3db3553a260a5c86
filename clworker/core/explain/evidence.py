"""What an answer rests on: one line for each fact that matters."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clworker.core.explain.facts import Facts, view_of
from clworker.core.explain.words import ahead, at, count, death, estimate, few
from clworker.core.models.attempts import Attempt
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.workers import WorkerView
from clworker.core.times import as_seconds


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of evidence, and the same for scripts."""

    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


def evidence(facts: Facts) -> Iterator[Evidence]:
    """Yield the lines, whatever the answer is."""
    job = facts.job
    created = f"queued {at(facts.now, job.created_at)}, {job.retry_count} of {job.max_retries} retries used"
    yield Evidence("job", f"task {job.task_type!r}, {created}", {"created_at": job.created_at})
    for number, attempt in enumerate(facts.attempts, 1):
        yield Evidence("attempt", f"attempt {number}: {_told(facts, attempt)}", asdict(attempt))
    if job.status == ComputeJobStatus.PROCESSING:
        yield from _of_progress(facts)
    if facts.line is not None:
        yield Evidence("line", f"{ahead(facts.line)}{estimate(facts.line)}", asdict(facts.line))
    if job.status == ComputeJobStatus.QUEUED:
        for view in facts.workers:
            yield Evidence("worker", _worker_told(facts, view), asdict(view))
    if facts.plugin is not None:
        why = f": {facts.plugin.reason}" if facts.plugin.reason else ""
        yield Evidence("plugin", f"the plugin here is {facts.plugin.state}{why}", asdict(facts.plugin))
    if facts.broker_silence is not None:
        yield Evidence(
            "broker", f"the broker cannot be asked: {facts.broker_silence}", {"reason": facts.broker_silence}
        )


def _of_progress(facts: Facts) -> Iterator[Evidence]:
    job, holder = facts.job, facts.holder
    if job.updated_at is not None:
        text = f"its row was last written {at(facts.now, job.updated_at)}, at {job.progress}%"
        yield Evidence("progress", text, {"progress": job.progress, "updated_at": job.updated_at})
    if holder is None:
        return
    proof = {
        True: "it holds its lock, so it lives",
        False: "its lock is free, so it is dead",
        None: "its lock proves nothing here",
    }
    yield Evidence("lock", proof[holder.alive], {"alive": holder.alive})
    view = view_of(facts, holder)
    said = f"; last message at the broker {at(facts.now, view.timestamp)}" if view and view.timestamp else ""
    text = f"heartbeat number {holder.heartbeat}, one every {holder.heartbeat_interval_ms / 1000:g} s{said}"
    data = {"heartbeat": holder.heartbeat, "heartbeat_interval_ms": holder.heartbeat_interval_ms}
    yield Evidence("heartbeat", text, {**data, "timestamp": view.timestamp if view else None})


def _told(facts: Facts, attempt: Attempt) -> str:
    who = f"worker {attempt.worker_id!r} on host {attempt.host}" if attempt.worker_id else "a worker since forgotten"
    begin = f"{who}, {at(facts.now, attempt.started_at)}"
    if attempt.ended_at is None:
        return f"{begin}, not ended"
    took = as_seconds(attempt.started_at, attempt.ended_at)
    how = death(attempt)
    return f"{begin}, ended{f' after {took} s' if took else ''} as {attempt.cause}{f': it {how}' if how else ''}"


def _worker_told(facts: Facts, view: WorkerView) -> str:
    host = f" on host {view.host} (pid {view.pid})" if view.host else ""
    tasks = "announces nothing" if view.capabilities is None else f"announces {few(view.capabilities) or 'no task'}"
    idle = f", {count(view.idle_count, 'free slot')}" if view.idle_count is not None else ""
    seen = f", last message {at(facts.now, view.timestamp)}" if view.timestamp else ""
    note = f"; {view.note}" if view.note else ""
    return f"worker {view.worker_id!r}{host} {tasks}{idle}{seen}{note}"
