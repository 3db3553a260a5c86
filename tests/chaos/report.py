"""The figures of a chaos run, and what was found wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.chaos.evidence import FINAL, Evidence
from tests.chaos.fleet import Run
from tests.chaos.plan import Plan


@dataclass
class Report:
    """What came out of one plan. ``requeue_seconds`` are those from each kill -9 to the rescue of a job."""

    plan: Plan
    deeds: Counter[str]
    evidence: Evidence
    lock_errors: list[str]
    requeue_seconds: list[float]
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
        if self.requeue_seconds:
            yield (
                f"kill -9 to requeue: {len(self.requeue_seconds)} times, "
                f"median {median(self.requeue_seconds):.2f} s, longest {max(self.requeue_seconds):.2f} s"
            )
        for fault in self.faults:
            yield f"WRONG: {fault}"


def requeue_seconds(runs: Sequence[Run], evidence: Evidence) -> list[float]:
    """Return how long each job of a killed run waited for its rescue.

    The clock starts when the run's lock is free and another worker is there to see it.
    """
    watches = [(run, begin, end) for run in runs for begin, end in run.watches()]
    found: list[float] = []
    for run in runs:
        if run.free_since is None:
            continue
        instances = {
            row["instance"]
            for row in evidence.instances
            if (row["worker_id"], row["pid"]) == (run.name, run.worker.pid)
        }
        rescued = [
            attempt["ended_at"] / 1000
            for attempts in evidence.attempts.values()
            for attempt in attempts
            if attempt["cause"] == "rescued" and attempt["instance"] in instances
        ]
        seen = [
            max(begin, run.free_since) for other, begin, end in watches if other is not run and end > run.free_since
        ]
        found += [max(0.0, at - min([*seen, at])) for at in rescued]
    return found


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items())) or "none"
