"""Fairness: two workers, short jobs and a long one. While one worker is busy, nobody's job waits behind it."""

import shutil
from collections.abc import Sequence
from functools import partial

from benchmarks import tasks
from benchmarks.context import Context
from benchmarks.deployment import Deployment
from benchmarks.processes import Group
from benchmarks.results import Result
from benchmarks.rounds import wait_until

NAME = "fairness"

_LONG = 0.5
"""Seconds that the long job takes."""
_SHORT_JOBS = 8
_ROUNDS = 5
"""A round is short here: more of them."""
_ALONE = "no long job"
_TRAINING = 200
"""Short jobs that are run before, so that the workers take this task type for a short one."""


def run(context: Context) -> list[Result]:
    """Measure how long the short job waits that waits longest, alone and beside two sorts of long jobs."""
    folder = context.new_folder()
    try:
        with Deployment(folder) as deployment, deployment.workers(2) as workers:
            _complete(deployment, workers, [(tasks.NOOP, {})] * _TRAINING)
            rounds = {
                _ALONE: partial(_longest_wait, deployment, workers, []),
                "beside a long job of another task": partial(_longest_wait, deployment, workers, [tasks.SLOW]),
                "beside a long job of their task": partial(_longest_wait, deployment, workers, [tasks.NOOP]),
            }
            samples = context.take_turns(rounds, _ROUNDS * context.plan.repeats)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    settings = f"2 workers, {_SHORT_JOBS} short jobs; a long one takes {_LONG * 1000:g} ms"
    results = [
        Result(NAME, "longest wait", case, "ms", found.values, settings, found.note) for case, found in samples.items()
    ]
    # With one worker left for the short jobs, twice the wait is what to expect.
    return [results[0], *(result.with_ratios((_ALONE, results[0])) for result in results[1:])]


def _longest_wait(deployment: Deployment, workers: Group, long_tasks: Sequence[str]) -> float:
    """Queue long jobs and then short ones, all at once; return the longest wait of a short one, in ms."""
    long_jobs = [(task, {"seconds": _LONG}) for task in long_tasks]
    started, committed = _complete(deployment, workers, [*long_jobs, *[(tasks.NOOP, {})] * _SHORT_JOBS])
    return (max(started[len(long_jobs) :]) - committed) / 1e6


def _complete(
    deployment: Deployment, workers: Group, jobs: list[tuple[str, dict[str, float]]]
) -> tuple[list[int], int]:
    """Run jobs to their end; return when each was started and when they were committed, in nanoseconds."""
    deployment.begin_round()
    ids, committed = deployment.queue(jobs)
    wait_until(lambda: deployment.completed() == len(ids), "all jobs are completed", workers)
    return [deployment.started_ns(job_id) for job_id in ids], committed
