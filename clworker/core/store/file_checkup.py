"""What a doctor wants to know of a SQLite file besides."""

import os
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from clworker.core.store import lockholders
from clworker.core.store.checkup import PATIENCE, Checkup
from clworker.core.store.examined import ExaminedFile
from clworker.core.store.failures import in_words

_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the time; some 0.1 ms."""


@dataclass(frozen=True, slots=True)
class Log:
    """The write-ahead log: its size, what of it is held back, and by whom."""

    size: int
    held_back: int = 0
    readers: tuple[str, ...] = ()


class FileCheckup(Checkup):
    """Looks at one SQLite database that exists."""

    def __init__(self, url: str) -> None:
        self._file = ExaminedFile(url, busy_timeout=PATIENCE)
        super().__init__(self._file)

    def journal_mode(self) -> str:
        """Return how SQLite keeps this database safe: ``wal``, or what is not for us."""
        with self.database.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").close()
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())

    def damage(self, seconds: float) -> str | None:
        """Return what is wrong with the file, if anything. Raises TimeoutError when so much time is not enough."""
        deadline = time.monotonic() + seconds
        connection = self._file.engine.raw_connection()
        driver: Any = connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            (finding,) = driver.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as failure:
            if getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise TimeoutError from failure
            raise in_words(failure, self._file.label, self._file.path) from failure
        finally:
            driver.set_progress_handler(None, 0)
            connection.close()
        return None if finding == "ok" else str(finding).splitlines()[-1]

    def writers(self) -> list[str]:
        """Return the other processes that hold the write lock now, as far as they can be seen."""
        return lockholders.writers(self._file.path)

    def log(self, looked_at_from: int) -> Log:
        """Look at the write-ahead log; when it has so many bytes, find out what keeps it from being written back."""
        path = os.path.realpath(self._file.path) + "-wal"
        size = os.stat(path).st_size if os.path.exists(path) else 0
        if size < looked_at_from:
            return Log(size)
        # Moves into the database what no reader needs, as any commit may do, and waits for nobody.
        with self._file.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            try:
                _busy, logged, written = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                (page_size,) = driver.execute("PRAGMA page_size").fetchone()
            except sqlite3.Error as failure:
                raise in_words(failure, self._file.label, self._file.path) from failure
        return Log(size, max(0, logged - written) * page_size, tuple(lockholders.readers(self._file.path)))
