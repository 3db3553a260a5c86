"""Huey on SQLite, at its defaults, with process workers."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.contenders.contender import BIN, AppQueue, Contender, Queue
from benchmarks.results import plural

# A task that returns something has its outcome stored, as ours have.
_APP = """
from huey import SqliteHuey

huey = SqliteHuey(filename="huey.db")


@huey.task()
def noop():
    return 1


def enqueue(count):
    huey.storage.conn.execute("PRAGMA synchronous=OFF")  # of this connection: queueing is not measured
    for _ in range(count):
        noop()
"""


class Huey(Contender):
    """``huey_consumer`` over ``SqliteHuey``."""

    name = "Huey"
    distributions = ("huey",)

    def settings(self, slots: int) -> str:
        return f"{plural(slots, 'process worker')}; SQLite WAL, synchronous={_synchronous()} (SQLite's default); pickle"

    @contextmanager
    def open(self, folder: Path) -> Iterator[Queue]:
        queue = HueyQueue(folder, _APP)
        with closing(queue):
            yield queue


class HueyQueue(AppQueue):
    """Tasks and results in one SQLite file."""

    def __init__(self, folder: Path, source: str) -> None:
        super().__init__(folder, source)
        self._connection = sqlite3.connect(folder / "huey.db", isolation_level=None)

    def commands(self, slots: int) -> list[list[str | Path]]:
        return [[BIN / "huey_consumer", "app.huey", "--worker-type", "process", "--workers", str(slots)]]

    def completed(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM kv").fetchone()[0])

    def close(self) -> None:
        self._connection.close()


def _synchronous() -> str:
    """Return what Huey leaves at its default: that of the SQLite library."""
    with closing(sqlite3.connect(":memory:")) as connection:
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
    return ("OFF", "NORMAL", "FULL", "EXTRA")[level]
