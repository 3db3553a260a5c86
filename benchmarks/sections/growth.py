"""Growth: the same no-op jobs in databases that hold many other rows, and the queries of ``jobs`` over them."""

import shutil
import sys
from contextlib import ExitStack
from functools import partial

from benchmarks import loops, tasks
from benchmarks.context import Context
from benchmarks.deployment import Deployment
from benchmarks.processes import run as run_command
from benchmarks.results import Result
from benchmarks.rounds import completions_per_second

NAME = "growth"
FOREIGN_TASK = "bench_foreign"
"""A task type that no plugin provides."""

_EMPTY = "no other rows"
_TIMES = 10
"""How often a command is run for one sample."""
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
    """Measure the commands that read, in a process that has already started."""
    databases = {_EMPTY: small, case: large}
    rounds = {
        f"{name}, {rows}": partial(_command, deployment, name)
        for name in _COMMANDS
        for rows, deployment in databases.items()
    }
    samples = context.take_turns(rounds)
    results = []
    for name in _COMMANDS:
        without, with_rows = (
            Result(NAME, f"clworker {name}", rows, "ms", found.values, "without the program's start", found.note)
            for rows in databases
            for found in [samples[f"{name}, {rows}"]]
        )
        results += [without, with_rows.with_ratios((_EMPTY, without))]
    return results


def _command(deployment: Deployment, name: str) -> float:
    """Return the milliseconds that a command takes. Raises NotMeasured when it is not there."""
    arguments = list(_COMMANDS[name])
    if name == "jobs show":
        middle = deployment.one("SELECT coalesce(max(id), 0) / 2 FROM jobs")
        arguments.append(deployment.one("SELECT job_id FROM jobs WHERE id >= ? ORDER BY id LIMIT 1", middle))
    return float(run_command([sys.executable, loops.COMMANDS, str(_TIMES), *arguments], deployment.environ))
