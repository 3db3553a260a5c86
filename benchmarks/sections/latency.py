"""Pick-up latency: from a job's commit to the first line of its task, idle and under load."""

import shutil
import statistics
import time
from collections.abc import Callable

from benchmarks import tasks
from benchmarks.context import Context
from benchmarks.deployment import Deployment
from benchmarks.processes import Group
from benchmarks.results import NotMeasured, Result
from benchmarks.rounds import wait_until

NAME = "latency"

_SETTLING = 0.05
"""Seconds between two jobs: the worker has gone back to waiting long before."""
_URGENT = 10
_BACKLOG = 500
"""No-op jobs that wait, at least, when an urgent one is added."""
_REFILL = 2_000


def run(context: Context) -> list[Result]:
    """Measure an idle worker, then one with a backlog, where the urgent job should be the next."""
    folder, count = context.new_folder(), context.plan.latencies
    try:
        with Deployment(folder) as deployment, deployment.workers() as workers:
            deployment.begin_round()
            return [
                _result("idle", lambda: _pick_up(deployment, workers), count, context),
                _result("under load, urgent job", lambda: _pick_up_under_load(deployment, workers), count, context),
            ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(case: str, sample: Callable[[], float], count: int, context: Context) -> Result:
    samples = []
    try:
        sample()  # the first job of a worker imports what its task needs
        samples = [sample() for _ in range(count)]
    except NotMeasured as failure:
        return Result(NAME, "clworker", case, "ms", samples, note=str(failure))
    context.say(case)
    high = statistics.quantiles(samples, n=20)[-1]
    return Result(NAME, "clworker", case, "ms", samples, f"1 slot; 95% within {high:.3g} ms")


def _pick_up(deployment: Deployment, workers: Group) -> float:
    """Queue one job for an idle worker; return its latency in milliseconds."""
    time.sleep(_SETTLING)
    return _latency(deployment, workers, 5)


def _pick_up_under_load(deployment: Deployment, workers: Group) -> float:
    """Queue a job of high priority while many others wait; return its latency in milliseconds."""
    waiting = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status = 'queued' LIMIT ?)"
    if deployment.one(waiting, _BACKLOG) < _BACKLOG:
        deployment.queue((tasks.NOOP, {}) for _ in range(_REFILL))
    return _latency(deployment, workers, _URGENT)


def _latency(deployment: Deployment, workers: Group, priority: int) -> float:
    (job_id,), committed = deployment.queue([(tasks.NOOP, {})], priority)
    done = "SELECT count(*) FROM jobs WHERE job_id = ? AND status = 'completed'"
    wait_until(lambda: bool(deployment.one(done, job_id)), "the job is completed", workers)
    return (deployment.started_ns(job_id) - committed) / 1e6
