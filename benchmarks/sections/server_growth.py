"""PostgreSQL with many finished rows, and with many dead ones: what a claim costs then."""

import shutil
import statistics
import time
from contextlib import ExitStack, closing
from functools import partial
from typing import LiteralString

from benchmarks import tasks
from benchmarks.capacity.claimer import Claimer
from benchmarks.context import Context
from benchmarks.results import Result
from benchmarks.rounds import completions_per_second
from benchmarks.server_deployment import ServerDeployment

NAME = "server"

_EXCHANGES = 150
_WARM_UP = 20
_TURNS = 2
_BUDGET = 60.0
_PAUSE = 0.04
_DEAD = 200_000
_CHURNED: LiteralString = """
INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, retry_count, max_retries)
SELECT md5('churned' || n), 'bench_noop', 5, '{}', 'queued', 0, 0, 0, 3 FROM generate_series(1, 100000) n"""
_CHURN: LiteralString = """
UPDATE jobs SET status = 'processing', started_at = 1 WHERE status = 'queued';
UPDATE jobs SET status = 'completed', completed_at = 1 WHERE status = 'processing'"""


def run(context: Context) -> list[Result]:
    """Measure in a database of each size, in turn."""
    with ExitStack() as stack:
        sizes = {f"{rows:,} finished rows": _filled(context, stack, rows) for rows in context.plan.finished_rows}
        times: dict[str, list[float]] = {case: [] for case in sizes}
        for _ in range(_TURNS):
            for case, deployment in sizes.items():
                times[case] += _exchanges(deployment)
        context.say("claims and settlements")
        rates = context.take_turns({case: partial(_rate, context, one) for case, one in sizes.items()}, budget=_BUDGET)
        largest = list(sizes)[-1]
        times[f"{largest}, {_DEAD:,} dead ones"] = _churned(sizes[largest])
    claims = [_claims(case, samples) for case, samples in times.items()]
    jobs = [
        Result(NAME, "clworker", f"no-op, 1 worker, {case}", "jobs/s", found.values, note=found.note)
        for case, found in rates.items()
    ]
    return [*_compared(claims), *_compared(jobs)]


def _filled(context: Context, stack: ExitStack, rows: int) -> ServerDeployment:
    folder = context.new_folder()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    deployment = stack.enter_context(ServerDeployment(folder, context.servers.postgresql))
    deployment.fill(rows)
    context.say(f"a database with {rows:,} finished rows")
    return deployment


def _exchanges(deployment: ServerDeployment) -> list[float]:
    """Return the milliseconds of transactions that each settle one job and claim the next."""
    deployment.queue((tasks.NOOP, {}) for _ in range(_EXCHANGES + _WARM_UP + 1))
    samples = []
    with closing(Claimer(deployment.url, deployment.folder / "media_store.db", "claimer")) as claimer:
        for _ in range(_EXCHANGES + _WARM_UP):
            begun = time.perf_counter()
            claimer.exchange()
            samples.append((time.perf_counter() - begun) * 1000)
    return samples[_WARM_UP:]


def _rate(context: Context, deployment: ServerDeployment) -> float:
    plan = context.plan
    deployment.execute("DELETE FROM jobs WHERE status = 'queued'")
    with deployment.workers() as workers:
        deployment.queue((tasks.NOOP, {}) for _ in range(plan.jobs))
        return completions_per_second(deployment.completed, plan.jobs, plan.seconds, workers, pause=_PAUSE)


def _churned(deployment: ServerDeployment) -> list[float]:
    """Measure claims once more when 100,000 jobs have gone through the queue and no vacuum has come since.

    All of them were before those that are claimed now, so their dead entries are at the head of the index.
    """
    deployment.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    deployment.execute("DELETE FROM jobs WHERE status = 'queued'")
    deployment.execute(_CHURNED)
    deployment.execute(_CHURN)
    return _exchanges(deployment)


def _claims(case: str, samples: list[float]) -> Result:
    high = statistics.quantiles(samples, n=20)[-1]
    settings = f"one job in a transaction; 95% within {high:.3g} ms"
    return Result(NAME, "clworker's store", f"claim and settle, {case}", "ms", samples, settings)


def _compared(results: list[Result]) -> list[Result]:
    """Compare each to the first, of the smallest database."""
    return [results[0], *(result.with_ratios(("the smallest", results[0])) for result in results[1:])]
