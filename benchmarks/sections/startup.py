"""Start-up: what a user waits for each command, against others' and against a bare import."""

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import tasks
from benchmarks.contenders.contender import BIN
from benchmarks.context import Context
from benchmarks.deployment import Deployment
from benchmarks.installation import PROGRAM
from benchmarks.processes import run as run_command
from benchmarks.results import Result

NAME = "startup"

_BARE = "python"
_CLICK = "python, click"
_NEEDS = "python, click, sqlalchemy, structlog"
_WITH_JOB = "clworker once, a small job"
_JOBS = 1_000


@dataclass(frozen=True)
class Start:
    """A command and what it is measured against."""

    command: list[str | Path]
    environ: Mapping[str, str]
    against: str | None = None


def run(context: Context) -> list[Result]:
    """Start every command in turn."""
    folder = context.new_folder()
    try:
        with Deployment(folder / "empty") as empty, Deployment(folder / "listed") as listed:
            listed.fill(_JOBS, tasks.NOOP, "completed")
            starts = _starts(empty, listed)
            rounds = {name: partial(_milliseconds, start) for name, start in starts.items()}
            rounds[_WITH_JOB] = partial(_once_with_job, empty)
            samples = context.take_turns(rounds, context.plan.commands)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results = {
        name: Result(NAME, name, "start to end", "ms", found.values, note=found.note) for name, found in samples.items()
    }
    against = {name: start.against for name, start in starts.items()} | {_WITH_JOB: _NEEDS}
    return [result.with_ratios(*_reference(against[name], results)) for name, result in results.items()]


def _reference(name: str | None, results: Mapping[str, Result]) -> list[tuple[str, Result]]:
    return [] if name is None else [(name, results[name])]


def _starts(empty: Deployment, listed: Deployment) -> dict[str, Start]:
    environ = empty.environ
    tab = {"_CLWORKER_COMPLETE": "bash_complete", "COMP_WORDS": "clworker jo", "COMP_CWORD": "1"}
    return {
        _BARE: Start([sys.executable, "-c", "pass"], environ),
        _CLICK: Start([sys.executable, "-c", "import click"], environ, _BARE),
        _NEEDS: Start([sys.executable, "-c", "import click, sqlalchemy, structlog"], environ, _BARE),
        "clworker --help": Start([PROGRAM, "--help"], environ, _CLICK),
        "clworker, TAB": Start([PROGRAM], {**environ, **tab}, _CLICK),
        "clworker list-tasks": Start([PROGRAM, "list-tasks"], environ, _CLICK),
        f"clworker jobs, {_JOBS:,} rows": Start([PROGRAM, "jobs"], listed.environ, _NEEDS),
        "clworker once, empty queue": Start([PROGRAM, "once"], environ, _NEEDS),
        "huey_consumer --help": Start([BIN / "huey_consumer", "--help"], environ),
        "celery --help": Start([BIN / "celery", "--help"], environ),
        "rq --help": Start([BIN / "rq", "--help"], environ),
        "procrastinate --help": Start([BIN / "procrastinate", "--help"], environ),
    }


def _once_with_job(deployment: Deployment) -> float:
    deployment.queue([(tasks.NOOP, {})])
    return _milliseconds(Start([PROGRAM, "once"], deployment.environ))


def _milliseconds(start: Start) -> float:
    begun = time.perf_counter()
    run_command(start.command, start.environ)
    return (time.perf_counter() - begun) * 1000
