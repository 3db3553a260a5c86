"""The connection to the database: transactions, WAL and the words for its failures.

Why the transaction recipe is exactly this one: with pysqlite's own transaction control, a
SELECT that is followed by an UPDATE let two workers claim one job, hundreds of times in a
few thousand jobs. With the driver out of the way and ``BEGIN IMMEDIATE`` it never happened.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from clworker.core.errors import StoreUnavailable, UsageFault
from clworker.core.parsing import sqlite_path
from clworker.core.secrets import masked

BUSY_TIMEOUT = 10.0
"""Seconds that a statement waits for another program's lock before it fails."""

_WAL_PAUSE = 0.01


class Database:
    """A SQLite database in WAL mode, with durable commits (``synchronous=FULL``)."""

    def __init__(self, url: str, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """``busy_timeout`` is in seconds. Nothing is opened before the first transaction."""
        self.path = sqlite_path(url)
        self.label = masked(url)
        self.engine = sa.create_engine(
            # Not the URL as text: "?" in a folder's name would begin its query.
            sa.URL.create("sqlite", database=self.path),
            hide_parameters=True,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=2,
            connect_args={"timeout": busy_timeout},
        )
        sa.event.listen(self.engine, "connect", lambda connection, _record: _prepare(connection, busy_timeout))
        sa.event.listen(self.engine, "begin", _begin)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that holds the write lock from its first moment to its commit.

        Raises StoreUnavailable when the database does not answer or cannot be written, and
        UsageFault for values that it refuses.
        """
        with self._failures_in_words(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the database and locks nobody out."""
        with (
            self._failures_in_words(),
            self.engine.connect().execution_options(clworker_read_only=True) as connection,
            connection.begin(),
        ):
            yield connection

    def prove_writable(self) -> None:
        """Begin and end a transaction that writes nothing. Raises StoreUnavailable."""
        with self.write():
            pass

    def close(self) -> None:
        """Close every connection; the database can be used again afterwards."""
        self.engine.dispose()

    @contextmanager
    def _failures_in_words(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as failure:
            raise UsageFault(f"{failure.object!r} is no valid text: no database can hold it") from failure
        except sa.exc.DBAPIError as failure:
            if getattr(failure.orig, "sqlite_errorname", None) == "SQLITE_CONSTRAINT_UNIQUE":
                raise UsageFault(f"database {self.label} refuses the row: {failure.orig}") from failure
            raise StoreUnavailable(f"database {self.label}: {_advice(str(failure.orig), self.path)}") from failure
        except sa.exc.StatementError as failure:  # not even sent: a value that JSON cannot say
            raise UsageFault(f"a value cannot be kept in the database: {failure.orig}") from failure


def _prepare(connection: Any, busy_timeout: float) -> None:
    connection.isolation_level = None
    # SQLite keeps whatever bytes others call text; one such row must not stop the queue.
    connection.text_factory = lambda data: data.decode(errors="replace")
    cursor = connection.cursor()
    try:
        # Only stat the file ourselves, never open it: closing it would drop SQLite's own locks.
        if _switched_to_wal(cursor, busy_timeout) != "wal":
            raise StoreUnavailable(
                "the database cannot be switched to WAL mode; its folder must be on a local, writable file system"
            )
        cursor.execute("PRAGMA synchronous=FULL")
    finally:
        cursor.close()


def _switched_to_wal(cursor: Any, busy_timeout: float) -> Any:
    # SQLite does not wait while several programs switch a new database at once: it fails as locked.
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            (mode,) = cursor.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                (mode,) = cursor.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as failure:
            if "locked" not in str(failure) or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_PAUSE)
        else:
            return mode


def _begin(connection: sa.Connection) -> None:
    read_only = connection.get_execution_options().get("clworker_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _advice(reason: str, path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    if "locked" in reason:
        return "locked by another program for too long; see which one holds a transaction open"
    if "unable to open" in reason:
        return f"cannot be opened; check that the folder {folder} exists and is writable by this user"
    if "readonly" in reason:
        return "is read-only for this user; make the file and its folder writable"
    if "full" in reason:
        return "its disk is full"
    if "malformed" in reason or "not a database" in reason:
        return f"{reason}: the file is damaged or is no SQLite database; restore it from a backup"
    return reason
