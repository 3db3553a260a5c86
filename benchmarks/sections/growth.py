"""Growth: the same no-op jobs in databases that hold many other rows, and the queries of ``jobs`` over them."""

import shutil
from contextlib import ExitStack
from functools import partial

from benchmarks import tasks
from benchmarks.context import Context
from benchmarks.deployment import PROGRAM, Deployment
from benchmarks.processes import timed
from benchmarks.results import Result
from benchmarks.rounds import Samples, completions_per_second

NAME = "growth"
FOREIGN_TASK = "bench_foreign"
"""A task type that no plugin provides."""

_EMPTY = "no other rows"
_COMMANDS = {
    "jobs": ["jobs", "-f", "json"],
    "jobs show": ["jobs", "show", "-f", "json"],
    "jobs stats": ["jobs", "stats", "-f", "json"],
}


def run(context: Context) -> list[Result]:
    """Measure the worker over every size, then the commands over the smallest and the largest."""
    with ExitStack() as stack:
        deployments = {
            case: stack.enter_context(_filled(context, rows, status)) for case, (rows, status) in _cases(context)
        }
        results = _throughput(context, deployments)
        largest = max(context.plan.finished_rows)
        results += _queries(context, deployments[_EMPTY], deployments[f"{largest:,} finished"], f"{largest:,} finished")
    for deployment in deployments.values():
        shutil.rmtree(deployment.folder, ignore_errors=True)
    return results


def _cases(context: Context) -> list[tuple[str, tuple[int, str]]]:
    finished = [(f"{rows:,} finished", (rows, "completed")) for rows in context.plan.finished_rows if rows]
    foreign = [(f"{rows:,} queued of another task", (rows, "queued")) for rows in context.plan.foreign_rows]
    return [(_EMPTY, (0, "completed")), *finished, *foreign]


def _filled(context: Context, rows: int, status: str) -> Deployment:
    deployment = Deployment(context.new_folder())
    deployment.fill(rows, tasks.NOOP if status == "completed" else FOREIGN_TASK, status)
    context.say(f"a database with {rows:,} rows")
    return deployment


def _throughput(context: Context, deployments: dict[str, Deployment]) -> list[Result]:
    rounds = {case: partial(_round, context, deployment) for case, deployment in deployments.items()}
    samples = context.take_turns(rounds)
    results = [
        Result(NAME, "clworker", case, "jobs/s", found.values, note=found.note) for case, found in samples.items()
    ]
    return [results[0], *(result.with_ratios((_EMPTY, results[0])) for result in results[1:])]


def _round(context: Context, deployment: Deployment) -> float:
    plan = context.plan
    deployment.begin_round()
    deployment.queue((tasks.NOOP, {}) for _ in range(plan.jobs))
    with deployment.workers() as workers:
        return completions_per_second(deployment.completed, plan.jobs, plan.seconds, workers)


def _queries(context: Context, small: Deployment, large: Deployment, case: str) -> list[Result]:
    """Measure what the rows add to a command: its time over them less its time without them.

    It is processor time, since what else runs on the machine would drown the difference; the
    pages that are read are in memory.
    """
    databases = {_EMPTY: small, case: large}
    rounds = {
        f"{name}, {rows}": partial(_command, deployment, name)
        for name in _COMMANDS
        for rows, deployment in databases.items()
    }
    samples = context.take_turns(rounds, context.plan.commands)
    return [_added(name, case, samples[f"{name}, {_EMPTY}"], samples[f"{name}, {case}"]) for name in _COMMANDS]


def _added(name: str, case: str, without: Samples, with_rows: Samples) -> Result:
    pairs = zip(without.values, with_rows.values, strict=False)
    added = [(slow - fast) * 1000 for fast, slow in pairs]
    return Result(NAME, f"clworker {name}", f"added by {case}", "ms", added, "processor time", with_rows.note)


def _command(deployment: Deployment, name: str) -> float:
    """Return the seconds of processor time that a command takes."""
    arguments = list(_COMMANDS[name])
    if name == "jobs show":
        middle = deployment.one("SELECT coalesce(max(id), 0) / 2 FROM jobs")
        arguments.append(deployment.one("SELECT job_id FROM jobs WHERE id >= ? ORDER BY id LIMIT 1", middle))
    return timed([PROGRAM, *arguments], deployment.environ).processor
