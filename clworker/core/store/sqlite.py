"""A SQLite database: transactions, WAL, and files that vanish under it.

Why the transaction recipe is exactly this one: with pysqlite's own transaction control, a
SELECT that is followed by an UPDATE let two workers claim one job, hundreds of times in a
few thousand jobs. With the driver out of the way and ``BEGIN IMMEDIATE`` it never happened.
"""

import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from clworker.core.errors import ClworkerError, StoreUnavailable, UsageFault
from clworker.core.parsing import sqlite_path
from clworker.core.secrets import masked
from clworker.core.store.changes import ChangeProbe
from clworker.core.store.database import BUSY_TIMEOUT, Database, Evidence, failures_in_words
from clworker.core.store.failures import LOG_REMOVED, in_words
from clworker.core.store.files import DatabaseFiles, held_open, see_that_nobody_uses
from clworker.core.store.sqlite_connections import begin_log, check, configure

_NAPS = (0.0002, 0.0015)
"""Seconds between two tries for the write lock, by chance, so that no worker is always the last."""
_LATER_NAPS = (0.002, 0.01)
_SOON = 0.1
"""Seconds after which a lock is no longer one that is over in a moment."""
_CONNECTIONS = 3
"""So many transactions at a time; further threads wait for their turn."""
_log = logging.getLogger("clworker.store")


class Follower(Protocol):
    """A connection beside the pool, which must let go of the files when the pool does."""

    def pause(self) -> None:
        """Close, and open nothing before ``resume``."""

    def resume(self) -> None:
        """Open again when there is a need."""


class SqliteDatabase(Database):
    """A SQLite database in WAL mode, with durable commits (``synchronous=FULL``)."""

    locks_rows = False

    def __init__(self, url: str, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """``busy_timeout`` is in seconds. Nothing is opened before the first transaction."""
        self.path = sqlite_path(url)
        self.home = Path(self.path)
        self.label = masked(url)
        self.followers: list[Follower] = []
        self._busy_timeout = busy_timeout
        self._files = DatabaseFiles(self.path)
        self._transactions = 0
        self._idle: list[sa.Connection] = []
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._turn = threading.Condition()
        self._doubted = False
        self._log_was_lost = False
        self.engine = sa.create_engine(
            self._address(),
            hide_parameters=True,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=_CONNECTIONS - 1,
            connect_args={"timeout": busy_timeout},
        )
        sa.event.listen(self.engine, "connect", lambda connection, _record: self._prepare(connection))

    @contextmanager
    def write(self, evidence: Evidence | None = None) -> Iterator[sa.Connection]:
        """Open a transaction that holds the write lock from its first moment to its commit."""
        with (
            failures_in_words(sqlite3.Error, self._told),
            self._sound_files(),
            self._transaction(self._begin_writing) as connection,
        ):
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the database and locks nobody out."""
        with (
            failures_in_words(sqlite3.Error, self._told),
            self._sound_files(),
            self._transaction(_begin_reading) as connection,
        ):
            yield connection

    @contextmanager
    def _transaction(self, begin: Callable[[Any], None]) -> Iterator[sa.Connection]:
        """Run one on a connection that was kept, or on a new one; after a failure it is not kept."""
        # To wait for the pool would be in vain: it does not know of connections that are kept and idle.
        if not self._places.acquire(timeout=self._busy_timeout):
            raise StoreUnavailable(f"database {self.label}: {_CONNECTIONS} transactions are under way, and none ends")
        try:
            connection = self._kept() or self.engine.connect()
            try:
                with connection.begin():
                    # SQLAlchemy's begin does nothing here, since the driver has been told to keep out of the way.
                    begin(connection.connection.driver_connection)
                    yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
        finally:
            self._places.release()

    def _kept(self) -> sa.Connection | None:
        try:
            return self._idle.pop()
        except IndexError:  # also when another thread has taken the last one at this moment
            return None

    def keep_others_out(self, connection: sa.Connection, subject: str) -> None:
        """Do nothing: the write lock keeps everybody out."""

    def take_time(self, connection: sa.Connection) -> None:
        """Do nothing: only locks are waited for."""

    def announce(self, connection: sa.Connection) -> None:
        """Do nothing: every commit can be seen."""

    def watch_changes(self) -> ChangeProbe:
        """Open a probe that tells of other connections' commits."""
        probe = ChangeProbe(self.path)
        self.followers.append(probe)
        return probe

    def close(self) -> None:
        """Close every connection; the database can be used again afterwards."""
        self._disconnect()
        self._files.forget()

    def _address(self) -> sa.URL:
        # Not the URL as text: "?" in a folder's name would begin its query.
        return sa.URL.create("sqlite", database=self.path)

    def _begin_writing(self, driver: sqlite3.Connection) -> None:
        """Take the write lock, waiting for it in short naps.

        SQLite's own naps grow to 100 ms, in which others take the lock many times: of several
        busy workers some would hardly get it.
        """
        begun = time.monotonic()
        driver.execute("PRAGMA busy_timeout=0").close()
        try:
            while not _took_write_lock(driver, wait=(waited := time.monotonic() - begun) < self._busy_timeout):
                time.sleep(random.uniform(*(_NAPS if waited < _SOON else _LATER_NAPS)))
        finally:
            driver.execute(f"PRAGMA busy_timeout={round(self._busy_timeout * 1000)}").close()

    def _release_idle(self) -> None:
        while (connection := self._kept()) is not None:
            connection.close()

    def _disconnect(self) -> None:
        self._release_idle()
        self.engine.dispose()

    @contextmanager
    def _sound_files(self) -> Iterator[None]:
        """See that transactions work on the files at the path, and count those that are under way."""
        with self._turn:
            if lost := self._files.lost_log():
                self._let_go(lost)
            self._transactions += 1
        try:
            yield
        finally:
            with self._turn:
                self._files.complete()
                self._transactions -= 1
                self._turn.notify_all()

    def _let_go(self, lost: list[str]) -> None:
        """Close every connection to files that are no longer those at the path; nothing committed is lost.

        Raises StoreUnavailable, and can be tried again then.
        """
        if not self._turn.wait_for(lambda: self._transactions == 0, self._busy_timeout):
            raise StoreUnavailable(f"database {self.label}: busy with a transaction on a log that was removed")
        for follower in self.followers:
            follower.pause()
        if self._files.has_log():
            with held_open(self.path):
                self._disconnect()
        else:
            self._write_back()
            self._disconnect()
            self._log_was_lost = True
        self._files.forget_log()
        self._doubted = True
        names = ", ".join(os.path.basename(path) for path in lost)
        _log.warning("database files were removed while in use; opening them anew", extra={"files": names})

    def _write_back(self) -> None:
        """Move what is in a log that only its users can still see into the database."""
        self._release_idle()
        connection = self.engine.raw_connection()
        try:
            busy, logged, written = connection.cursor().execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error as failure:
            raise in_words(failure, self.label, self.path) from failure
        finally:
            connection.close()
        if busy or logged != written:
            raise StoreUnavailable(f"database {self.label}: {LOG_REMOVED}")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            if self._log_was_lost and not self._files.has_log():
                see_that_nobody_uses(self.path)
            configure(connection, self._busy_timeout)
            if self._doubted:
                check(connection, self.label)
            if self._log_was_lost:
                begin_log(connection)
        except BaseException:
            connection.close()
            raise
        self._doubted = self._log_was_lost = False
        self._files.remember()
        for follower in self.followers:
            follower.resume()

    def _told(self, failure: Any) -> ClworkerError:
        if getattr(failure, "sqlite_errorname", None) == "SQLITE_CONSTRAINT_UNIQUE":
            return UsageFault(f"database {self.label} refuses the row: {failure}")
        return in_words(failure, self.label, self.path)


def _begin_reading(driver: sqlite3.Connection) -> None:
    driver.execute("BEGIN").close()


def _took_write_lock(driver: sqlite3.Connection, wait: bool) -> bool:
    """Begin a transaction that writes; False when another one does and we may ``wait``."""
    try:
        driver.execute("BEGIN IMMEDIATE").close()
    except sqlite3.OperationalError as failure:
        if wait and failure.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise
    return True
