"""What is asked of everybody who takes part: a queue full of no-op jobs, workers, and a count."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.processes import Group, environment, run, running
from benchmarks.results import NotMeasured

BIN = Path(sys.executable).parent


class Queue(ABC):
    """A fresh queue of one contender, for one round."""

    @abstractmethod
    def enqueue(self, count: int) -> None:
        """Queue so many no-op jobs; no worker runs yet."""

    @abstractmethod
    def workers(self, slots: int) -> AbstractContextManager[Group]:
        """Run workers that run so many jobs at a time, for the time of the block."""

    @abstractmethod
    def completed(self) -> int:
        """Count the completed jobs, in the store."""


class Contender(ABC):
    """Somebody whose workers are measured."""

    name: str
    distributions: Sequence[str] = ()

    @abstractmethod
    def open(self, folder: Path) -> AbstractContextManager[Queue]:
        """Make a fresh queue in a folder that does not exist yet. Raises NotMeasured."""

    @abstractmethod
    def settings(self, slots: int) -> str:
        """Say in one line what its figures depend on."""

    def check(self) -> None:
        """See that its distributions are installed. Raises NotMeasured."""
        self.versions()

    def versions(self) -> str:
        """Return its distributions with their versions. Raises NotMeasured."""
        try:
            return ", ".join(f"{name} {version(name)}" for name in self.distributions)
        except PackageNotFoundError as failure:
            raise NotMeasured(f"not installed: {failure.name}") from None


class AppQueue(Queue):
    """A queue whose contender is used by a module ``app`` of the user's, as most are.

    Its function ``enqueue(count)`` queues no-op jobs.
    """

    def __init__(self, folder: Path, source: str, variables: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(source)
        self.folder = folder
        self.environ = environment(PYTHONPATH=folder, **(variables or {}))

    @abstractmethod
    def commands(self, slots: int) -> list[list[str | Path]]:
        """Return the commands that start the workers."""

    def enqueue(self, count: int) -> None:
        self.call(f"enqueue({count})")

    def call(self, call: str) -> str:
        """Call a function of the module in a process of its own, and return what it prints."""
        return run([sys.executable, "-c", f"import app; app.{call}"], self.environ, cwd=self.folder)

    def workers(self, slots: int) -> AbstractContextManager[Group]:
        return running(self.commands(slots), self.environ, self.folder / "workers.log", cwd=self.folder)
