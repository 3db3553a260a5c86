"""Connections to a SQLite file: how they are set up, and what is asked of one whose file is in doubt."""

import sqlite3
import time
from functools import partial
from typing import Any

from clworker.core.errors import DatabaseLost, StoreUnavailable

_WAL_PAUSE = 0.01


def configure(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Have it use WAL mode and durable commits. Raises StoreUnavailable where that is not possible."""
    leave_alone(connection)
    if _switched_to_wal(connection, busy_timeout) != "wal":
        raise StoreUnavailable(
            "the database cannot be switched to WAL mode; its folder must be on a local, writable file system"
        )
    connection.execute("PRAGMA synchronous=FULL").close()


def leave_alone(connection: sqlite3.Connection) -> None:
    """Have the driver begin no transaction by itself, and take whatever bytes stand in a text."""
    connection.isolation_level = None
    # SQLite keeps whatever bytes others call text; one such row must not stop the queue.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")


def _switched_to_wal(connection: sqlite3.Connection, busy_timeout: float) -> Any:
    # SQLite does not wait while several programs switch a new database at once: it fails as locked.
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as failure:
            if "locked" not in str(failure) or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_PAUSE)
        else:
            return mode


def check(connection: sqlite3.Connection, label: str) -> None:
    """Look the whole database over. Raises DatabaseLost when anything in it is wrong."""
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise DatabaseLost(f"database {label} is damaged: {finding.splitlines()[-1]}; restore it from a backup")


def begin_log(connection: sqlite3.Connection) -> None:
    """Write something that changes nothing, so that others who lost the old log see that a new one is in use."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version={version}").close()
