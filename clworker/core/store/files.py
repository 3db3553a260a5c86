"""The files behind a database's connections: are they still the ones that stand at its path?

SQLite never looks again. A connection whose file, ``-wal`` or ``-shm`` was removed or replaced
goes on writing into what nobody else can see, without an error. So we look, and only by
``stat``: opening such a file and closing it again would drop SQLite's own locks.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from clworker.core.errors import DatabaseLost, StoreUnavailable
from clworker.core.store.failures import LOG_REMOVED

Identity = tuple[int, int]

_LOG_SUFFIXES = ("-wal", "-shm")
_REMOVED: Identity = (-1, -1)
"""What no file is."""

_HOLD_OPEN = """
import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM sqlite_master").fetchall()
print(flush=True)
sys.stdin.read()
"""


class DatabaseFiles:
    """Remembers by device and inode which files the connections of one database have open."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._database: Identity | None = None
        self._log: dict[str, Identity | None] = {}

    def remember(self) -> None:
        """Note which files a connection that was just opened has found."""
        if not self._log:
            self._database = _identity(self._path)
            real = os.path.realpath(self._path)  # SQLite keeps its log beside the real file, not beside a link
            self._log = dict.fromkeys((real + suffix for suffix in _LOG_SUFFIXES), None)
            self.complete()

    def complete(self) -> None:
        """Note which files were opened since: of a new database SQLite makes those of its log at the first transaction.

        What stands at the path may have been put there after we had opened another.
        """
        unknown = [path for path, identity in self._log.items() if identity is None]
        if unknown:
            opened = _open_files()
            for path in unknown:
                if (present := _identity(path)) in opened:
                    self._log[path] = present
                elif f"{path} (deleted)" in opened.values():
                    self._log[path] = _REMOVED

    def forget_log(self) -> None:
        """Expect new ``-wal`` and ``-shm`` files: every connection is closed."""
        self._log = {}

    def forget(self) -> None:
        """Expect any files: nothing is left of what was read from them."""
        self._database = None
        self._log = {}

    def lost_log(self) -> list[str]:
        """Return which of ``-wal`` and ``-shm`` were removed or replaced under the connections.

        Raises StoreUnavailable while the database is gone, for it may be moved back, and
        DatabaseLost once another one stands in its place.
        """
        if self._database is None:
            return []
        present = _identity(self._path)
        if present is None:
            raise StoreUnavailable(f"database file {self._path} is gone; move it back, or put another in its place")
        if present != self._database:
            raise DatabaseLost(f"database file {self._path} was replaced by another one; start again to use that")
        return [path for path in self._log if not self._is_ours(path)]

    def has_log(self) -> bool:
        """Tell whether a ``-wal`` with something in it stands beside the database."""
        try:
            return os.stat(os.path.realpath(self._path) + "-wal").st_size > 0
        except OSError:
            return False

    def _is_ours(self, path: str) -> bool:
        return self._log[path] is None or _identity(path) == self._log[path]


@contextmanager
def held_open(path: str) -> Iterator[None]:
    """Have another process hold the database open for the time of the block.

    Whoever closes it last writes the log back as far as it knows it, and deletes it. Without
    the ``-shm`` that all share we may not know of transactions that others have added, so
    that must not be us. Raises StoreUnavailable when the process cannot open it either.
    """
    command = [sys.executable, "-I", "-S", "-c", _HOLD_OPEN, os.path.realpath(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise StoreUnavailable(f"database file {path}: {LOG_REMOVED}")
        yield


def see_that_nobody_uses(path: str) -> None:
    """Prove that no other connection is open, for it would go on with a log that nobody else can see.

    Every connection in WAL mode holds a shared lock on the database, which this exclusive one
    cannot be had beside. Raises StoreUnavailable.
    """
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").close()
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").close()
        except sqlite3.OperationalError as failure:
            if failure.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise StoreUnavailable(f"database file {path}: {LOG_REMOVED}") from failure
            raise


def _open_files() -> dict[Identity | None, str]:
    """Return the files that this process has open and their paths, with a word behind those that were removed."""
    found: dict[Identity | None, str] = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed meanwhile
            status = os.fstat(int(name))
            found[status.st_dev, status.st_ino] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _identity(path: str) -> Identity | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise StoreUnavailable(f"database file {path} cannot be looked at: {failure.strerror}") from failure
    return (status.st_dev, status.st_ino)
