"""A database that is looked at and left as it is: not made, not switched to WAL, nothing committed."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import sqlalchemy as sa

from clworker.core.store.changes import Changes
from clworker.core.store.database import Database, Evidence
from clworker.core.store.sqlite import SqliteDatabase
from clworker.core.store.sqlite_connections import leave_alone


class ExaminedDatabase(Database):
    """Reads another database as always; writes are possible only within ``undone``."""

    def __init__(self, examined: Database) -> None:
        self._examined = examined
        self.engine = examined.engine
        self.label = examined.label
        self.home = examined.home
        self.locks_rows = examined.locks_rows
        self._stage: sa.Connection | None = None

    @contextmanager
    def undone(self) -> Iterator[sa.Connection]:
        """Open a transaction for the time of the block, then undo what was done in it.

        Transactions within the block are part of this one.
        """
        with self._examined.write() as connection:
            self._stage = connection
            try:
                yield connection
            finally:
                self._stage = None
                connection.rollback()

    @contextmanager
    def write(self, evidence: Evidence | None = None) -> Iterator[sa.Connection]:
        """Take part in the transaction that will be undone."""
        if self._stage is None:
            raise RuntimeError("an examined database is written to only within undone()")
        yield self._stage

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """See one state of the database; what is about to be undone, if there is such."""
        if self._stage is not None:
            yield self._stage
            return
        with self._examined.read() as connection:
            yield connection

    def keep_others_out(self, connection: sa.Connection, subject: str) -> None:
        """Wait for those who are here for this subject."""
        self._examined.keep_others_out(connection, subject)

    def take_time(self, connection: sa.Connection) -> None:
        """Let the rest of the transaction last as long as it takes."""
        self._examined.take_time(connection)

    def announce(self, connection: sa.Connection) -> None:
        """Tell nobody: nothing is committed."""

    def watch_changes(self) -> Changes:
        """Watch for other connections' commits."""
        return self._examined.watch_changes()

    def close(self) -> None:
        """Close every connection."""
        self._examined.close()


class ExaminedFile(SqliteDatabase):
    """A SQLite database that exists, and is used in the journal mode that it has."""

    def _address(self) -> sa.URL:
        # Only by this form can SQLite be told not to make the file.
        name = f"file://{quote(os.path.abspath(self.path))}"
        return sa.URL.create("sqlite", database=name, query={"mode": "rw", "uri": "true"})

    def _prepare(self, connection: sqlite3.Connection) -> None:
        leave_alone(connection)
        self._files.remember()
