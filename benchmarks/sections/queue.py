"""Queue overhead: no-op jobs a second, of everybody, with one job at a time and with two."""

import shutil
from collections.abc import Sequence
from functools import partial

from benchmarks.contenders import all_contenders
from benchmarks.contenders.contender import Contender
from benchmarks.context import Context
from benchmarks.results import Result
from benchmarks.rounds import Samples, completions_per_second

NAME = "queue"
UNIT = "jobs/s"
REFERENCES = ("bare loop", "Huey")


def run(context: Context) -> list[Result]:
    """Measure everybody whose parts are installed."""
    return compare(context, all_contenders(context.servers))


def compare(context: Context, contenders: Sequence[Contender]) -> list[Result]:
    """Measure these contenders in turn."""
    rounds = {
        f"{contender.name}, {slots} at a time": partial(_round, context, contender, slots)
        for slots in context.plan.slots
        for contender in contenders
    }
    samples = context.take_turns(rounds)
    results: list[Result] = []
    for slots in context.plan.slots:
        of_these_slots = [_result(c, slots, samples[f"{c.name}, {slots} at a time"]) for c in contenders]
        by_name = {result.subject: result for result in of_these_slots}
        results += [
            result.with_ratios(*((name, by_name.get(name)) for name in REFERENCES if name != result.subject))
            for result in of_these_slots
        ]
    return results


def _result(contender: Contender, slots: int, samples: Samples) -> Result:
    settings = f"{contender.versions()}; {contender.settings(slots)}" if samples.values else ""
    return Result(NAME, contender.name, f"{slots} at a time", UNIT, samples.values, settings, samples.note)


def _round(context: Context, contender: Contender, slots: int) -> float:
    contender.check()
    folder, plan = context.new_folder(), context.plan
    try:
        with contender.open(folder) as queue:
            queue.enqueue(plan.jobs)
            with queue.workers(slots) as workers:
                return completions_per_second(queue.completed, plan.jobs, plan.seconds, workers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
