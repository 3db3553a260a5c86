"""PostgreSQL: clworker beside Procrastinate on the same server, in turn, with 1 to 8 workers each."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from benchmarks.contenders.fleet import SIZE, ClworkerFleet, Fleet, ProcrastinateFleet
from benchmarks.contenders.procrastinate import Procrastinate
from benchmarks.context import Context
from benchmarks.results import Result, plural
from benchmarks.rounds import completions_per_second
from benchmarks.sections import server_growth, server_latency
from benchmarks.sections.pictures import photo

NAME = "server"
RIVAL = "Procrastinate"

_PHOTO = ("2 MP", (1632, 1224))
_PAUSE = 0.04
"""Seconds between two counts, which cost the server more than they cost a file."""
_REPEATS = 2
_BUDGET = 100.0
_LONGEST = 10.0

Open = Callable[[Path], AbstractContextManager[Fleet]]
Round = Callable[[Context, Open, int], float]


def run(context: Context) -> list[Result]:
    """Measure no-op jobs, pictures, pick-up and growth."""
    return [
        *_rates(context, "no-op", "jobs/s", _noops),
        *_rates(context, f"{_PHOTO[0]} to {SIZE[0]}x{SIZE[1]}", "pictures/s", partial(_pictures, _photo(context))),
        *server_latency.run(context),
        *server_growth.run(context),
    ]


def _fleets(context: Context) -> dict[str, Open]:
    servers = context.servers
    return {
        "clworker": partial(ClworkerFleet.open, servers=servers, mqtt=False),
        "clworker, MQTT": partial(ClworkerFleet.open, servers=servers, mqtt=True),
        RIVAL: partial(ProcrastinateFleet.open, servers=servers),
    }


def _rates(context: Context, what: str, unit: str, measure: Round) -> list[Result]:
    fleets, counts = _fleets(context), context.plan.workers
    if unit != "jobs/s":
        del fleets["clworker, MQTT"]
    rounds = {
        (what, name, count): partial(_checked, context, name, partial(measure, context, fleets[name], count))
        for count in counts
        for name in fleets
    }
    samples = context.take_turns(rounds, min(_REPEATS, context.plan.repeats), _BUDGET)
    found: list[Result] = []
    for count in counts:
        results = {}
        for name in fleets:
            sampled = samples[what, name, count]
            case, settings = f"{what}, {plural(count, 'worker')}", _settings(context, name) if sampled.values else ""
            results[name] = Result(NAME, name, case, unit, sampled.values, settings, sampled.note)
        found += [result.with_ratios((RIVAL, results[RIVAL])) for name, result in results.items() if name != RIVAL]
        found.append(results[RIVAL])
    return found


def _checked(context: Context, name: str, measure: Callable[[], float]) -> float:
    if name == RIVAL:
        Procrastinate(context.servers).check()
    return measure()


def _settings(context: Context, name: str) -> str:
    server = context.servers.postgresql
    versions = f"{Procrastinate(context.servers).versions()}; " if name == RIVAL else ""
    return f"{versions}1 job at a time each; PostgreSQL {server.version}, {server.durability}"


def _noops(context: Context, fleet: Open, count: int) -> float:
    plan = context.plan
    return _rate(context, fleet, count, lambda queue: queue.queue_noops(plan.jobs), plan.jobs, plan.seconds)


def _pictures(source: Path, context: Context, fleet: Open, count: int) -> float:
    jobs = context.plan.pictures

    def queue(here: Fleet) -> None:
        # One more for each worker: so all of them are busy until the last one is counted.
        here.queue_pictures(source, jobs + count)

    return _rate(context, fleet, count, queue, jobs, _LONGEST)


def _rate(
    context: Context, fleet: Open, count: int, queue: Callable[[Fleet], None], jobs: int, seconds: float
) -> float:
    folder = context.new_folder()
    try:
        with fleet(folder) as here, here.workers(count) as workers:
            queue(here)  # only now, when all of them wait: or the first to start would have done them all
            return completions_per_second(here.completed, jobs, seconds, workers, pause=_PAUSE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _photo(context: Context) -> Path:
    folder = context.new_folder()
    folder.mkdir()
    return photo(folder / "photo.jpg", _PHOTO[1])
