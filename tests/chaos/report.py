"""The figures of a chaos run, and what was found wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.chaos.evidence import FINAL, Evidence
from tests.chaos.fleet import Run
from tests.chaos.plan import Plan


@dataclass(frozen=True)
class Requeue:
    """How long a job of a killed worker waited for its rescue.

    The clock starts when the worker's lock is free and another one is there to see it.
    ``disturbed``: meanwhile some worker was stopped, which may have been in a transaction.
    """

    seconds: float
    disturbed: bool


@dataclass
class Report:
    """What came out of one plan."""

    plan: Plan
    deeds: Counter[str]
    evidence: Evidence
    lock_errors: list[str]
    requeues: list[Requeue]
    faults: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many jobs have no outcome."""
        statuses = (self.evidence.jobs.get(job.job_id, {}).get("status") for job in self.plan.jobs)
        return sum(status not in FINAL for status in statuses)

    @property
    def doubles(self) -> int:
        """How many jobs have more than one recorded outcome."""
        return sum(len(self.evidence.outcomes_of(job_id)) > 1 for job_id in self.evidence.jobs)

    def __str__(self) -> str:
        """Say it for people, a line each."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        jobs = self.evidence.jobs.values()
        yield f"seed {self.plan.seed}, {self.plan.seconds:g} s, {len(self.plan.workers)} workers"
        yield f"deeds that hit: {_counted(self.deeds)}"
        yield f"jobs: {len(jobs)}; {_counted(Counter(job['status'] for job in jobs))}"
        yield f"attempts: {_counted(self.evidence.causes())}"
        yield f"retries counted: {sum(job['retry_count'] for job in jobs)}"
        yield f"lost: {self.lost}; with two outcomes: {self.doubles}; lock errors: {len(self.lock_errors)}"
        yield f"kill -9 to requeue: {_spread([each.seconds for each in self.requeues])}"
        undisturbed = [each.seconds for each in self.requeues if not each.disturbed]
        yield f"of those while no other worker was stopped, perhaps with the database locked: {_spread(undisturbed)}"
        for fault in self.faults:
            yield f"WRONG: {fault}"


def requeues_of(runs: Sequence[Run], evidence: Evidence) -> list[Requeue]:
    """Return the rescues of jobs whose worker was killed. A job may be rescued more than once."""
    watches = [(run, begin, end) for run in runs for begin, end in run.watches()]
    halts = [halt for run in runs for halt in run.halts()]
    found: list[Requeue] = []
    for run in runs:
        if run.free_since is None:
            continue
        seen = [
            max(begin, run.free_since) for other, begin, end in watches if other is not run and end > run.free_since
        ]
        for at in _rescues(run, evidence):
            begin = min([*seen, at])
            disturbed = any(first < at and last > begin for first, last in halts)
            found.append(Requeue(at - begin, disturbed))
    return found


def _rescues(run: Run, evidence: Evidence) -> list[float]:
    key = (run.name, run.worker.pid)
    instances = {row["instance"] for row in evidence.instances if (row["worker_id"], row["pid"]) == key}
    return [
        attempt["ended_at"] / 1000
        for attempts in evidence.attempts.values()
        for attempt in attempts
        if attempt["cause"] == "rescued" and attempt["instance"] in instances
    ]


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    return f"{len(seconds)} times, median {median(seconds):.2f} s, longest {max(seconds):.2f} s"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items())) or "none"
