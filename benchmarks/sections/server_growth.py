"""PostgreSQL with many finished rows, and with many dead ones: what a claim costs then."""

import shutil
import statistics
import time
from contextlib import closing
from typing import LiteralString

from benchmarks import tasks
from benchmarks.capacity.claimer import Claimer
from benchmarks.context import Context
from benchmarks.results import NotMeasured, Result
from benchmarks.rounds import completions_per_second
from benchmarks.server_deployment import ServerDeployment

NAME = "server"

_EXCHANGES = 400
_WARM_UP = 50
_PAUSE = 0.04
_DEAD = 200_000
_CHURNED: LiteralString = """
INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, retry_count, max_retries)
SELECT md5('churned' || n), 'bench_noop', 5, '{}', 'queued', 0, 0, 0, 3 FROM generate_series(1, 100000) n"""
_CHURN: LiteralString = """
UPDATE jobs SET status = 'processing', started_at = 1 WHERE status = 'queued';
UPDATE jobs SET status = 'completed', completed_at = 1 WHERE status = 'processing'"""


def run(context: Context) -> list[Result]:
    """Measure each size in a database of its own."""
    found: list[Result] = []
    for rows in context.plan.finished_rows:
        folder = context.new_folder()
        try:
            with ServerDeployment(folder, context.servers.postgresql) as deployment:
                deployment.fill(rows)
                context.say(f"a database with {rows:,} finished rows")
                found += _measured(context, deployment, f"{rows:,} finished rows")
                if rows == max(context.plan.finished_rows):
                    found.append(_churned(deployment, f"{rows:,} finished rows"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    times, rates = found[0], found[1]
    return [
        result if result in (times, rates) else result.with_ratios(("0 rows", times if result.unit == "ms" else rates))
        for result in found
    ]


def _measured(context: Context, deployment: ServerDeployment, case: str) -> list[Result]:
    exchanged = _exchanges(deployment, f"claim and settle, {case}")
    try:
        rates, note = [_throughput(context, deployment)], ""
    except NotMeasured as failure:
        rates, note = [], str(failure)
    return [exchanged, Result(NAME, "clworker", f"no-op, 1 worker, {case}", "jobs/s", rates, note=note)]


def _exchanges(deployment: ServerDeployment, case: str) -> Result:
    """Measure transactions that each settle one job and claim the next."""
    deployment.queue((tasks.NOOP, {}) for _ in range(_EXCHANGES + _WARM_UP + 1))
    samples = []
    with closing(Claimer(deployment.url, deployment.folder / "media_store.db", "claimer")) as claimer:
        for _ in range(_EXCHANGES + _WARM_UP):
            begun = time.perf_counter()
            claimer.exchange()
            samples.append((time.perf_counter() - begun) * 1000)
        claimer.exchange(0)
    del samples[:_WARM_UP]
    high = statistics.quantiles(samples, n=20)[-1]
    return Result(NAME, "clworker's store", case, "ms", samples, f"one transaction; 95% within {high:.3g} ms")


def _throughput(context: Context, deployment: ServerDeployment) -> float:
    plan = context.plan
    with deployment.workers() as workers:
        deployment.queue((tasks.NOOP, {}) for _ in range(plan.jobs))
        return completions_per_second(deployment.completed, plan.jobs, plan.seconds, workers, pause=_PAUSE)


def _churned(deployment: ServerDeployment, case: str) -> Result:
    """Measure once more when 100,000 jobs have gone through the queue and no vacuum has come since.

    All of them were before those that are claimed now, so their dead entries are at the head of the index.
    """
    deployment.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    deployment.execute("DELETE FROM jobs WHERE status = 'queued'")
    deployment.execute(_CHURNED)
    deployment.execute(_CHURN)
    return _exchanges(deployment, f"claim and settle, {case}, {_DEAD:,} dead ones")
