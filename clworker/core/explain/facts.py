"""What is known about a job and its surroundings, and what follows from it at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from clworker.core.models.attempts import Attempt, Cause
from clworker.core.models.jobs import ComputeJob
from clworker.core.models.workers import WorkerRecord, WorkerView

SILENT_HEARTBEATS = 3
"""After so many heartbeats without a message a worker counts as silent."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What stands for the job's task on this machine: ``ready``, ``broken``, ``missing`` or ``unknown``."""

    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """How many jobs are claimed before this one, and how many have ended lately in how many ms."""

    ahead: int
    ended: int = 0
    within_ms: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a job and its surroundings at the moment ``now`` (Unix milliseconds).

    ``holder`` is the registered instance whose claim is open; ``broker_silence`` says why the
    broker could not be asked. What was not looked for, since it does not matter, is None.
    """

    now: int
    job: ComputeJob
    attempts: Sequence[Attempt] = ()
    holder: WorkerRecord | None = None
    workers: Sequence[WorkerView] = ()
    broker_silence: str | None = None
    heartbeat_ms: int = 30_000
    line: Line | None = None
    plugin: Plugin | None = None


def serving(facts: Facts) -> list[WorkerView]:
    """Return the workers that announce the job's task and are not known to be dead."""
    return [
        view for view in facts.workers if view.alive is not False and facts.job.task_type in (view.capabilities or ())
    ]


def misses_input(facts: Facts, view: WorkerView) -> bool:
    """Tell whether this worker has claimed the job since its start and did not see its input."""
    return view.started_at is not None and any(
        one.cause == Cause.INPUT_MISSING and one.worker_id == view.worker_id and one.started_at >= view.started_at
        for one in facts.attempts
    )


def open_attempt(job: ComputeJob, attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that holds a processing job; None when another program has claimed it."""
    return next((one for one in attempts if one.ended_at is None and one.started_at == job.started_at), None)


def view_of(facts: Facts, record: WorkerRecord) -> WorkerView | None:
    """Return how both sides see this instance."""
    same = (record.worker_id, record.pid, record.started_at)
    return next((view for view in facts.workers if (view.worker_id, view.pid, view.started_at) == same), None)


def is_silent(facts: Facts, view: WorkerView) -> bool:
    """Tell whether the worker's last message is older than three heartbeats."""
    return view.timestamp is not None and facts.now - view.timestamp > SILENT_HEARTBEATS * facts.heartbeat_ms


def is_unheard(facts: Facts, record: WorkerRecord) -> bool:
    """Tell whether a worker that should be seen at the broker is not, or is silent there."""
    view = view_of(facts, record)
    if facts.broker_silence is not None or view is None or view.role != "run":
        return False
    return view.timestamp is None or is_silent(facts, view)
