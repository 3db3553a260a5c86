"""Counts what a process does to its database and its files, step by step, and kills it before one of them.

Only what changes something counts, and only once: what is just after one step is just before
the next. For a process that is there to be killed: an audit hook stays until its end.
"""

import itertools
import os
import signal
import sqlite3
import sys
from typing import Any

import psycopg
import sqlalchemy as sa

_FILE_EVENTS = {
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "fcntl.flock",
    "sqlite3.connect",
    "subprocess.Popen",
}
_READING = {"BEGIN", "COMMIT", "PRAGMA", "ROLLBACK", "SELECT"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Steps:
    """The steps of this process from now on, each told by name as a line to a file descriptor."""

    def __init__(self, told: int, kill_at: int | None) -> None:
        """``kill_at`` is the number of the step, from 1, that the process does not live to take."""
        self._told = told
        self._kill_at = kill_at
        self._numbers = itertools.count(1)
        self._watch_files()
        self._watch_database()
        self._watch_server()

    def take(self, name: str) -> None:
        """Count one step, or die before it."""
        os.write(self._told, f"{name}\n".encode())
        if next(self._numbers) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _watch_files(self) -> None:
        sys.addaudithook(self._on_audit_event)
        fsync, pwrite = os.fsync, os.pwrite  # these raise no audit events

        def counted_fsync(fd: Any) -> None:
            self.take("fsync")
            fsync(fd)

        def counted_pwrite(*arguments: Any) -> int:
            self.take("pwrite")
            return pwrite(*arguments)

        os.fsync, os.pwrite = counted_fsync, counted_pwrite

    def _on_audit_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FILE_EVENTS:
            self.take(f"{event} {arguments[0]}")
        elif event == "open" and arguments[2] & _WRITING:
            self.take(f"open {arguments[0]}")

    def _watch_database(self) -> None:
        def before(statement: str) -> None:
            words = statement.split()[:3]
            if words[0] not in _READING:
                self.take(" ".join(words))

        def is_file(connection: sa.Connection) -> bool:
            return connection.dialect.name == "sqlite"

        def trace(connection: sqlite3.Connection, _record: Any) -> None:
            if isinstance(connection, sqlite3.Connection):
                connection.set_trace_callback(before)

        def at_commit(connection: sa.Connection) -> None:
            if is_file(connection) and not connection.get_execution_options().get("clworker_read_only"):
                self.take("COMMIT")

        def at_rollback(connection: sa.Connection) -> None:
            if is_file(connection):
                self.take("ROLLBACK")

        sa.event.listen(sa.Pool, "connect", trace)
        sa.event.listen(sa.Engine, "commit", at_commit)
        sa.event.listen(sa.Engine, "rollback", at_rollback)

    def _watch_server(self) -> None:
        """Count what ends a transaction that may have written: until then nobody sees anything of it."""
        execute = psycopg.Cursor.execute
        reading: set[int] = set()

        def counted(cursor: "psycopg.Cursor[Any]", query: Any, *values: Any, **options: Any) -> Any:
            words = str(query).split(maxsplit=1)
            if words[0] == "BEGIN":
                (reading.add if "READ ONLY" in str(query) else reading.discard)(id(cursor.connection))
            elif words[0] == "COMMIT" and id(cursor.connection) not in reading:
                self.take("COMMIT")
            return execute(cursor, query, *values, **options)

        setattr(psycopg.Cursor, "execute", counted)  # noqa: B010  (a method cannot be assigned to)
