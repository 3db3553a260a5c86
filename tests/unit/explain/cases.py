"""Each state that a job can be in: the facts, the reason and the answer."""

from dataclasses import replace
from typing import Any

from clworker.core.explain.facts import Facts, Line, Plugin
from clworker.core.models.attempts import Attempt
from clworker.core.models.jobs import ComputeJob
from clworker.core.models.workers import WorkerRecord, WorkerView

NOW = 1_700_000_000_000
STARTED = NOW - 60_000
JOB = ComputeJob(
    job_id="j",
    task_type="resize",
    status="queued",
    progress=0,
    priority=5,
    params={},
    output=None,
    error_message=None,
    created_at=NOW - 120_000,
    started_at=None,
    completed_at=None,
    updated_at=NOW - 120_000,
    retry_count=0,
    max_retries=3,
    created_by=None,
)
HELD = Attempt("t", "ann", "i", "host", STARTED, STARTED, None, None, None, None, None)
VIEW = WorkerView("ann", "run", "host", 7, NOW - 900_000, True, 1, ("resize",), 0, NOW - 5_000, None)
RECORD = WorkerRecord("i", "ann", "run", "host", 7, NOW - 900_000, 12, 30_000, 1, True)
BROKEN, READY = Plugin("broken", "ImportError: no torch"), Plugin("ready")
MISSING = Plugin("missing", "no installed plugin provides the task type 'resize'; installed: none")
ONCE = replace(VIEW, role="once", capabilities=None, idle_count=None, timestamp=None)
NOOP = "BROADCAST_TYPE is noop"


def job(status: str = "queued", /, **fields: Any) -> ComputeJob:
    return replace(JOB, status=status, **fields)


def view(**fields: Any) -> WorkerView:
    return replace(VIEW, **fields)


def facts(what: ComputeJob = JOB, /, **fields: Any) -> Facts:
    return Facts(NOW, what, **fields)


MISSED = replace(HELD, ended_at=STARTED + 5, cause="input-missing")
WITH_INPUT = job(params={"input_paths": ["/srv/photo.jpg"]})
QUEUED = {
    "nobody who announces the task sees the input": (
        facts(WITH_INPUT, workers=[view(idle_count=1)], attempts=[MISSED], line=Line(0)),
        "input-missing",
        "It waits for a worker on another host: its input /srv/photo.jpg is not seen by 'ann'.",
    ),
    "no broker, and nobody sees the inputs": (
        facts(plugin=READY, workers=[view(capabilities=None)], broker_silence=NOOP, attempts=[MISSED], line=Line(0)),
        "input-missing",
        "It waits for a worker on another host: one of its inputs is not seen by 'ann'.",
    ),
    "the one who may see the input is busy": (
        facts(workers=[view(idle_count=1), view(worker_id="bob")], attempts=[MISSED], line=Line(0, 1, 1_000)),
        "slots-busy",
        "It waits: every slot is busy, no job is ahead of it; at the present rate it starts in about 1s.",
    ),
    "its worker has missed the input before its own restart": (
        facts(job(updated_at=NOW - 50), workers=[view(idle_count=1, started_at=NOW)], attempts=[MISSED], line=Line(0)),
        "about-to-start",
        "It is about to start: 'ann' announced 1 free slot.",
    ),
    "nobody": (facts(plugin=READY), "no-worker", "It waits: no worker runs here."),
    "only a dead one": (
        facts(plugin=READY, workers=[view(alive=False)]),
        "no-worker",
        "It waits: no worker runs here.",
    ),
    "only once": (facts(plugin=READY, workers=[ONCE]), "no-worker", "It waits: no worker runs here."),
    "others announce other tasks": (
        facts(plugin=READY, workers=[view(capabilities=("convert",))]),
        "not-announced",
        "It waits: no live worker announces the task 'resize'.",
    ),
    "a broken plugin": (
        facts(plugin=BROKEN, workers=[view(capabilities=())]),
        "plugin-broken",
        "It waits: no live worker announces the task 'resize', and its plugin is broken here: ImportError: no torch",
    ),
    "no plugin": (
        facts(plugin=MISSING),
        "plugin-missing",
        f"It waits: no worker runs here; {MISSING.reason}.",
    ),
    "no broker": (
        facts(plugin=READY, workers=[view(capabilities=None, timestamp=None)], broker_silence=NOOP, line=Line(0)),
        "waiting",
        "It waits, no job is ahead of it; what the live workers run is told at the broker alone, "
        "which cannot be asked.",
    ),
    "no broker and a broken plugin": (
        facts(plugin=BROKEN, workers=[view(capabilities=None)], broker_silence=NOOP),
        "plugin-broken",
        "It waits: what the live workers run is told at the broker alone, which cannot be asked, "
        "and its plugin is broken here: ImportError: no torch",
    ),
    "busy": (
        facts(workers=[VIEW], line=Line(ahead=9, ended=5, within_ms=60_000)),
        "slots-busy",
        "It waits: every slot is busy, 9 jobs are ahead of it; at the present rate it starts in about 2m.",
    ),
    "busy, and no rate known": (
        facts(workers=[VIEW], line=Line(ahead=1)),
        "slots-busy",
        "It waits: every slot is busy, 1 job is ahead of it; "
        "no job like these has ended lately, so there is no telling how long it takes.",
    ),
    "a free slot of a silent worker counts for nothing": (
        facts(workers=[VIEW, view(worker_id="bob", idle_count=1, timestamp=NOW - 90_001)], line=Line(0, 1, 1_000)),
        "slots-busy",
        "It waits: every slot is busy, no job is ahead of it; at the present rate it starts in about 1s.",
    ),
    "all silent": (
        facts(workers=[view(timestamp=NOW - 90_001, idle_count=1)], line=Line(0)),
        "worker-silent",
        "It waits: what announces its task ('ann') has been silent for 3 heartbeats.",
    ),
    "just queued": (
        facts(job(created_at=NOW - 50, updated_at=None), workers=[view(idle_count=2)], line=Line(0)),
        "about-to-start",
        "It is about to start: 'ann' announced 2 free slots.",
    ),
    "just returned": (
        facts(job(updated_at=NOW - 50), workers=[view(idle_count=1)], line=Line(0)),
        "about-to-start",
        "It is about to start: 'ann' announced 1 free slot.",
    ),
    "a free slot that does not take it": (
        facts(workers=[view(idle_count=1)], line=Line(0)),
        "not-taken",
        "It waits although 'ann' announced a free slot: that worker is stopped, or works on another database.",
    ),
}
RUNNING = job("processing", started_at=STARTED, progress=40, updated_at=NOW - 3_000)
SINCE = "since 2023-11-14T22:12:20Z (1m ago)"
ANN = "orker 'ann' on host host (pid 7)"
PROCESSING = {
    "a live worker": (
        facts(RUNNING, attempts=[HELD], holder=RECORD, workers=[VIEW]),
        "running",
        f"It runs: w{ANN} holds it {SINCE}, at 40%.",
    ),
    "once, which the broker never sees": (
        facts(RUNNING, attempts=[HELD], holder=replace(RECORD, role="once"), workers=[ONCE]),
        "running",
        f"It runs: w{ANN} holds it {SINCE}, at 40%.",
    ),
    "a live worker that the broker has lost": (
        facts(RUNNING, attempts=[HELD], holder=RECORD, workers=[view(timestamp=None)]),
        "worker-silent",
        f"W{ANN} holds it {SINCE}, but is silent at the broker: stopped, hanging or cut off.",
    ),
    "a live worker with a broker that was not asked": (
        facts(RUNNING, attempts=[HELD], holder=RECORD, workers=[view(timestamp=None)], broker_silence=NOOP),
        "running",
        f"It runs: w{ANN} holds it {SINCE}, at 40%.",
    ),
    "a dead worker": (
        facts(RUNNING, attempts=[HELD], holder=replace(RECORD, alive=False)),
        "worker-dead",
        f"It waits for its rescue: w{ANN} took it at {SINCE.removeprefix('since ')} and is dead.",
    ),
    "a worker that has ended": (
        facts(RUNNING, attempts=[HELD]),
        "worker-dead",
        f"Its worker 'ann', which held it {SINCE}, has ended without letting go.",
    ),
    "a worker on another host": (
        facts(RUNNING, attempts=[HELD], holder=replace(RECORD, alive=None), workers=[VIEW]),
        "worker-unproven",
        f"W{ANN} holds it {SINCE}, at 40%; only heartbeats tell whether it lives.",
    ),
    "another program": (
        facts(RUNNING),
        "foreign-worker",
        f"A worker of another program holds it {SINCE}; it keeps no attempt, so nothing tells if it lives.",
    ),
    "another program that took it from us": (
        facts(RUNNING, attempts=[replace(HELD, started_at=STARTED - 1)]),
        "foreign-worker",
        f"A worker of another program holds it {SINCE}; it keeps no attempt, so nothing tells if it lives.",
    ),
}


def ended(cause: str, /, message: str = "it broke", **fields: Any) -> Facts:
    error = job("error", started_at=STARTED, completed_at=NOW - 57_000, error_message=message, retry_count=2)
    return facts(error, attempts=[replace(HELD, ended_at=NOW - 57_000, cause=cause, **fields)])


WHEN = "at 2023-11-14T22:12:23Z (57s ago)"
FINAL = {
    "completed": (
        facts(job("completed", started_at=STARTED, completed_at=NOW - 57_000)),
        "completed",
        f"It completed {WHEN} after 3.00 s.",
    ),
    "completed by a program that tells no times": (
        facts(job("completed")),
        "completed",
        "It completed at an unknown time.",
    ),
    "killed": (
        ended("died", signal=9, peak_memory_kib=4_089_446),
        "died",
        f"It was tried 3 times; at last the process that ran it was killed by SIGKILL at 3993 MiB, {WHEN}.",
    ),
    "rescued": (ended("rescued"), "died", f"It was tried 3 times; at last the worker died, {WHEN}."),
    "a limit": (
        ended("time-limit", "time limit of 30 s exceeded", signal=9),
        "limit",
        f"It was ended {WHEN}: time limit of 30 s exceeded.",
    ),
    "failed": (ended("failed"), "failed", f"The task failed {WHEN} after 3.00 s: it broke"),
    "failed elsewhere": (
        facts(job("error", started_at=STARTED, error_message="it broke")),
        "failed",
        "Another program has recorded that it failed at an unknown time: it broke",
    ),
    "cancelled while it ran": (ended("cancelled", "cancelled"), "cancelled", f"It was cancelled by hand {WHEN}."),
    "cancelled in the queue": (
        facts(job("error", error_message="cancelled", completed_at=NOW - 57_000)),
        "cancelled",
        f"It was cancelled by hand {WHEN}.",
    ),
    "no word of ours": (facts(job("paused")), "unknown-status", "Another program has given it the status 'paused'."),
}
CASES = {**QUEUED, **PROCESSING, **FINAL}
