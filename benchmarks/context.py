"""What every section needs: how much to measure, where, with which servers, and whom to tell."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.plan import Plan
from benchmarks.rounds import Say, no_words
from benchmarks.servers import Servers


@dataclass
class Context:
    """One section of a run; its folder is made when the first path in it is asked for."""

    plan: Plan
    folder: Path
    servers: Servers
    say: Say = no_words
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def new_folder(self) -> Path:
        """Return a path in the section's folder where nothing is yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"round-{next(self._numbers)}"
