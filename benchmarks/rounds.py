"""The one way in which rounds are run and clocked, whoever runs the jobs.

Completions are counted from outside, in the store, and the clock runs between two of those
counts: neither the start of a worker nor its first jobs, which fill caches, are in it.
"""

import math
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from benchmarks.processes import Group
from benchmarks.results import NotMeasured

Key = TypeVar("Key", bound=Hashable)
Say = Callable[[str], None]

_PAUSE = 0.005
_FIRST_WITHIN = 60.0
_WARM_UP_SECONDS = 1.0


def no_words(_text: str) -> None:
    """Hear of progress and say nothing."""


@dataclass
class Samples:
    """What the rounds of one subject gave; ``note`` says why there are no more of them."""

    values: list[float] = field(default_factory=list)
    note: str = ""


def interleaved(
    repeats: int, rounds: Mapping[Key, Callable[[], float]], say: Say = no_words, budget: float = math.inf
) -> dict[Key, Samples]:
    """Run every round, then every round again, so that a busy minute hits all of them alike.

    Who could not be measured once is not asked again. There are fewer repeats where another
    one would break the budget, in seconds. ``say`` hears of each round's end.
    """
    samples = {key: Samples() for key in rounds}
    begun = time.monotonic()
    for number in range(repeats):
        spent = time.monotonic() - begun
        if number and spent * (number + 1) / number > budget:
            say(f"no more than {number} of {repeats} rounds: this machine is too busy or too slow")
            break
        for key, run in rounds.items():
            found = samples[key]
            if found.note:
                continue
            try:
                found.values.append(run())
            except NotMeasured as failure:
                found.note = str(failure)
            say(f"round {number + 1} of {repeats}, {key}: {found.note or f'{found.values[-1]:.4g}'}")
    return samples


def completions_per_second(
    completed: Callable[[], int],
    jobs: int,
    seconds: float,
    workers: Group,
    warm_up: int | None = None,
    pause: float = _PAUSE,
) -> float:
    """Return the rate from the end of the warm-up to the last of ``jobs``, or for ``seconds``.

    The warm-up ends with so many jobs (a tenth of them), or a second after the first one.
    ``pause`` is the seconds between two counts.
    Raises NotMeasured when a worker ends or nothing is completed.
    """
    warm_up = jobs // 10 if warm_up is None else warm_up
    first = _wait_for(completed, 1, time.monotonic() + _FIRST_WITHIN, workers, pause)
    if first[1] == 0:
        raise NotMeasured(f"no job was completed within {_FIRST_WITHIN:g} s: {workers.last_words()}")
    since, before = _wait_for(completed, warm_up, first[0] + _WARM_UP_SECONDS, workers, pause)
    if before >= jobs:
        raise NotMeasured(f"all {jobs} jobs were completed before the clock started; more are needed")
    until, after = _wait_for(completed, jobs, since + seconds, workers, pause)
    if after == before:
        raise NotMeasured(f"no job was completed for {seconds:g} s: {workers.last_words()}")
    return (after - before) / (until - since)


def wait_until(condition: Callable[[], bool], what: str, workers: Group, timeout: float = 60.0) -> None:
    """Wait for a condition. Raises NotMeasured when it does not come, or a worker ends before."""
    deadline = time.monotonic() + timeout
    while not condition():
        workers.check()
        if time.monotonic() > deadline:
            raise NotMeasured(f"waited {timeout:g} s in vain until {what}: {workers.last_words()}")
        time.sleep(_PAUSE)


def _wait_for(
    completed: Callable[[], int], wanted: int, deadline: float, workers: Group, pause: float
) -> tuple[float, int]:
    """Return the time and the count when ``wanted`` are completed, or at the deadline."""
    while True:
        count, now = completed(), time.monotonic()
        if count >= wanted or now >= deadline:
            return now, count
        workers.check()
        time.sleep(pause)
