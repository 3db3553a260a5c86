"""Contention: several workers on one SQLite file. Together they should do no less, and each its share."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks import tasks
from benchmarks.contenders.bare import bare_loops
from benchmarks.context import Context
from benchmarks.deployment import Deployment
from benchmarks.processes import running
from benchmarks.results import Result, plural
from benchmarks.rounds import Samples, completions_per_second

NAME = "contention"

_ATTEMPTS_BY_WORKER = """
SELECT instance, count(*) FROM clworker_attempts WHERE cause IS NOT NULL AND cause != 'superseded'
GROUP BY instance ORDER BY 2"""


@dataclass
class Observed:
    """What else was seen in the rounds of one number of workers."""

    shares: list[float] = field(default_factory=list)
    complaints: int = 0

    def __str__(self) -> str:
        lowest = f"smallest share {min(self.shares):.0%} of an equal one; " if self.shares else ""
        return f"{lowest}{self.complaints} warnings or errors logged"


def run(context: Context) -> list[Result]:
    """Measure so many workers in turn, and as many bare loops."""
    observed = {count: Observed() for count in context.plan.workers}
    rounds: dict[str, Callable[[], float]] = {}
    for count in context.plan.workers:
        rounds[plural(count, "loop")] = partial(_loops, context, count)
        rounds[plural(count, "worker")] = partial(_workers, context, count, observed[count])
    samples = context.take_turns(rounds)
    counts = context.plan.workers
    return [
        *_results("bare loop", "loop", samples, {}, counts),
        *_results("clworker", "worker", samples, observed, counts),
    ]


def _results(
    subject: str, noun: str, samples: Mapping[str, Samples], observed: Mapping[int, Observed], counts: Sequence[int]
) -> list[Result]:
    """Return the results of one subject, each compared to that of the smallest number."""
    found = []
    for count in counts:
        case, settings = plural(count, noun), str(observed.get(count, ""))
        rates = samples[case]
        found.append(Result(NAME, subject, case, "jobs/s", rates.values, settings, rates.note))
    return [found[0], *(result.with_ratios((found[0].case, found[0])) for result in found[1:])]


def _workers(context: Context, count: int, observed: Observed) -> float:
    folder, plan = context.new_folder(), context.plan
    try:
        with Deployment(folder) as deployment, deployment.workers(count) as workers:
            deployment.begin_round()
            # Only now, when all of them wait: or the first to start would have done them all.
            deployment.queue((tasks.NOOP, {}) for _ in range(plan.jobs))
            rate = completions_per_second(deployment.completed, plan.jobs, plan.seconds, workers)
            counts = [jobs for _, jobs in deployment.all(_ATTEMPTS_BY_WORKER)]
            observed.shares.append(_smallest_share(counts, count))
            observed.complaints += sum(
                workers.log.read_text().count(f'"level": "{level}"') for level in ("warning", "error", "critical")
            )
            return rate
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _smallest_share(counts: list[int], workers: int) -> float:
    """Return the smallest count as a part of an equal share; 0 when somebody got nothing at all."""
    return min(counts) * workers / sum(counts) if len(counts) == workers else 0.0


def _loops(context: Context, count: int) -> float:
    folder, plan = context.new_folder(), context.plan
    try:
        with Deployment(folder) as deployment:
            deployment.begin_round()
            deployment.queue((tasks.NOOP, {}) for _ in range(plan.jobs))
            with running(bare_loops(deployment, count), deployment.environ, folder / "bare.log") as loops:
                return completions_per_second(deployment.completed, plan.jobs, plan.seconds, loops)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
