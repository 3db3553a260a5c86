"""What every section needs: how much to measure, where, with which servers, and whom to tell."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.plan import Plan
from benchmarks.rounds import Key, Samples, Say, interleaved, no_words
from benchmarks.servers import Servers


@dataclass
class Context:
    """One section of a run; its folder is made when the first path in it is asked for."""

    plan: Plan
    folder: Path
    servers: Servers
    say: Say = no_words
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def take_turns(
        self, rounds: Mapping[Key, Callable[[], float]], repeats: int | None = None, budget: float | None = None
    ) -> dict[Key, Samples]:
        """Run rounds as ``interleaved`` does, by default as often as planned, within the section's budget."""
        return interleaved(repeats or self.plan.repeats, rounds, self.say, budget or self.plan.budget)

    def new_folder(self) -> Path:
        """Return a path in the section's folder where nothing is yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"round-{next(self._numbers)}"
