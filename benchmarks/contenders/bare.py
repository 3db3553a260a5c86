"""The bare loop over sqlite3: no worker at all, but the limit of one that commits each claim and each outcome."""

import platform
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks import loops, tasks
from benchmarks.contenders.clworker import ClworkerQueue
from benchmarks.contenders.contender import Contender, Queue
from benchmarks.deployment import Deployment
from benchmarks.processes import Group, running
from benchmarks.results import plural


class BareLoop(Contender):
    """Processes that claim and finish rows of the same table, with the same indexes."""

    name = "bare loop"

    def settings(self, slots: int) -> str:
        return f"{plural(slots, 'loop')}, no task run; SQLite WAL, synchronous=FULL"

    def versions(self) -> str:
        return f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}"

    @contextmanager
    def open(self, folder: Path) -> Iterator[Queue]:
        with Deployment(folder) as deployment:
            yield BareQueue(deployment)


class BareQueue(ClworkerQueue):
    """The same queue, worked on by bare loops."""

    def workers(self, slots: int) -> AbstractContextManager[Group]:
        return running(bare_loops(self.deployment, slots), self.deployment.environ, self.deployment.folder / "bare.log")


def bare_loops(deployment: Deployment, count: int) -> list[list[str | Path]]:
    """Return the commands of so many loops over a deployment's no-op jobs."""
    return [[sys.executable, loops.CLAIMS, deployment.folder / "media_store.db", tasks.NOOP]] * count
