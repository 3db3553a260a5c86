"""What must hold after a chaos run. Each check yields a sentence for everything that is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.chaos.evidence import FINAL, Evidence
from tests.chaos.fleet import Run
from tests.chaos.plan import Deed, JobKind, Plan, PlannedJob
from tests.chaos.tasks import content

PICTURE_SIZE = (64, 48)

_DEAD = re.compile(
    r"(worker \S+ on host \S+ .* while it ran the job|the process that ran the job .*), attempt \d of \d"
)
_OWN_ERRORS = {JobKind.FAIL: "failed as planned", JobKind.RAISE: "RuntimeError: raised as planned"}
_OUT_OF_REACH = 69
_BAD_EVENTS = ("internal error", "the end of a job could not be recorded", "the MQTT client failed")


def job_faults(plan: Plan, evidence: Evidence) -> Iterator[str]:
    """Every job has one outcome, the right one, and what it wrote is whole."""
    for job in plan.jobs:
        for fault in _faults_of(job, evidence):
            yield f"{job.job_id} ({job.kind}): {fault}"


def left_behind(evidence: Evidence) -> Iterator[str]:
    """Nothing is left of workers that have ended: no claim, no instance, no staging folder."""
    for job_id, attempts in evidence.attempts.items():
        for attempt in attempts:
            if attempt["ended_at"] is None:
                yield f"{job_id}: attempt {attempt['token']} is still open"
    for instance in evidence.instances:
        if instance["ended_at"] is None:
            yield f"instance {instance['instance']} of {instance['worker_id']} is still registered"
    for path in evidence.server.rglob(".clworker-*"):
        yield f"left behind: {path.relative_to(evidence.server)}"
    if evidence.integrity != "ok":
        yield f"PRAGMA integrity_check: {evidence.integrity}"


def run_faults(run: Run, plan: Plan) -> Iterator[str]:
    """A run ended as it was told to, and logged nothing that no chaos excuses."""
    code = run.worker.process.returncode
    found_no_server = plan.database != "sqlite" and code == _OUT_OF_REACH and not run.worker.logged("worker started")
    if code not in _expected_codes(run) and not found_no_server:
        deeds = ", ".join(done.deed for done in run.done) or "nothing"
        yield f"{run.name} ended with {code} after {deeds}: {run.marker}"
    for line in run.worker.log:
        if line["event"] in _BAD_EVENTS:
            yield f"{run.name} logged {line}"


def lock_errors(run: Run) -> list[str]:
    """Return what the run logged about a database that was locked for too long."""
    return [str(line) for line in run.worker.log if "locked" in str(line.get("reason", ""))]


def _faults_of(job: PlannedJob, evidence: Evidence) -> Iterator[str]:
    row = evidence.jobs.get(job.job_id)
    if row is None:
        yield "its row is gone"
        return
    if row["status"] not in FINAL:
        yield f"lost: it is {row['status']} at the end"
        return
    outcomes = evidence.outcomes_of(job.job_id)
    if len(outcomes) != 1 or any(change["old_status"] in FINAL for change in evidence.changes[job.job_id]):
        changes = [f"{change['old_status']} to {change['new_status']}" for change in evidence.changes[job.job_id]]
        yield f"{len(outcomes)} outcomes: {', '.join(changes)}"
    yield from _retry_faults(job, evidence)
    if row["status"] == "completed":
        yield from _completed_faults(job, evidence)
    else:
        yield from _error_faults(job, evidence)


def _retry_faults(job: PlannedJob, evidence: Evidence) -> Iterator[str]:
    retries = evidence.jobs[job.job_id]["retry_count"]
    deaths = len(evidence.deaths_of(job.job_id))
    if retries > job.max_retries:
        yield f"{retries} retries, of {job.max_retries}"
    if retries > deaths:
        yield f"{retries} retries were counted for {deaths} deaths"
    for change in evidence.changes[job.job_id]:
        if change["new_retries"] - change["old_retries"] not in (0, 1):
            yield f"its retries went from {change['old_retries']} to {change['new_retries']}"


def _completed_faults(job: PlannedJob, evidence: Evidence) -> Iterator[str]:
    if job.kind in (JobKind.EXIT, *_OWN_ERRORS):
        yield "completed, though its task cannot"
        return
    if evidence.attempts[job.job_id][-1]["cause"] != "completed":
        yield f"completed, but its last attempt ended as {evidence.attempts[job.job_id][-1]['cause']}"
    yield from _output_faults(job, evidence)
    if job.kind is not JobKind.PICTURE and evidence.output_of(job.job_id)["nonce"] not in _output(job, evidence):
        yield "its output is not the whole file of the attempt that is recorded"


def _output_faults(job: PlannedJob, evidence: Evidence) -> Iterator[str]:
    try:
        if job.kind is JobKind.PICTURE:
            with Image.open(_path(job, evidence)) as picture:
                picture.load()
            if picture.size != PICTURE_SIZE:
                yield f"its picture is of {picture.size}"
        else:
            text = _output(job, evidence)
            if text != content(job.job_id, "".join(text.splitlines()[1:2])):
                yield "its output is not whole"
    except OSError as failure:
        yield f"its output cannot be read: {failure}"


def _output(job: PlannedJob, evidence: Evidence) -> str:
    try:
        return _path(job, evidence).read_text()
    except OSError:
        return ""


def _path(job: PlannedJob, evidence: Evidence) -> Path:
    return evidence.server / "compute" / "out" / job.output


def _error_faults(job: PlannedJob, evidence: Evidence) -> Iterator[str]:
    row = evidence.jobs[job.job_id]
    message = str(row["error_message"])
    if _path(job, evidence).exists():
        # Its worker may have been killed between the renaming and the commit: then the whole one stands there.
        if message.startswith("worker "):
            yield from _output_faults(job, evidence)
        else:
            yield "it failed, and still an output stands"
    if _DEAD.fullmatch(message):
        deaths = len(evidence.deaths_of(job.job_id))
        if row["retry_count"] != job.max_retries or deaths <= job.max_retries:
            yield f"given up after {deaths} deaths and {row['retry_count']} of {job.max_retries} retries: {message}"
    elif message != _OWN_ERRORS.get(job.kind):
        yield f"unexpected error: {message}"


def _expected_codes(run: Run) -> set[int]:
    # A nursery that is killed while it loads the plugins again ends its worker.
    if len(run.times_of(Deed.KILL_NURSERY)) > 1 and run.worker.process.returncode == 1:
        return {1}
    if run.times_of(Deed.KILL):
        return {-9, 0, 143} if run.times_of(Deed.TERMINATE) else {-9}
    match len(run.times_of(Deed.TERMINATE)):
        case 0:
            return set()
    # Before it has put its handlers up, the first signal ends it as it does any program.
    early = {-15} if not run.worker.logged("worker started") else set()
    # And so does a second one that comes when all is done and the handlers are down again.
    return {0, *early} if len(run.times_of(Deed.TERMINATE)) == 1 else {0, 143, -15}
