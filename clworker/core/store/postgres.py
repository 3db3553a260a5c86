"""A PostgreSQL database: transactions, and connections that break.

Transactions begin and end by our own words, with time limits that hold for them alone: so
neither another program's settings nor a pooler in between can change what they mean. What
SQLite's one write lock gives is had by locks on rows (``with_for_update``) under READ COMMITTED.
"""

import hashlib
import math
import select
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from clworker.core.errors import ClworkerError, StoreUnavailable
from clworker.core.secrets import masked_url
from clworker.core.store import pipelines
from clworker.core.store.announcements import CHANNEL, Announcements
from clworker.core.store.database import Database, Evidence, InDoubt, failures_in_words
from clworker.core.store.pipelines import driver_of
from clworker.core.store.postgres_connections import PATIENCE, engine_for, patient
from clworker.core.store.postgres_failures import in_words

MOST_TRANSACTIONS = 2
"""At once; with the connection that listens a worker has three connections."""

_STATEMENT_TIMEOUT = 30.0
_IDLE_TIMEOUT = 60.0
"""Seconds that a transaction of a frozen process may lock others out."""
_IDLE = 1.0
"""Seconds after which a connection that was kept is asked whether it still stands, before anything depends on it."""
_UNSURE = 30.0
"""Seconds for which we try to find out whether a commit whose answer was lost has taken place."""
_PAUSE = 0.1

_BY_INDEX = dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"), "off")
"""What we change is found by index. Of a table that is young, or was just emptied, the server has no statistics
to know that by, and would read it whole for each claim."""

_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresDatabase(Database):
    """A database of a PostgreSQL server, 10 or later."""

    locks_rows = True

    def __init__(self, url: str, busy_timeout: float, home: Path) -> None:
        """``busy_timeout`` is in seconds. Nothing is opened before the first transaction."""
        self.label = masked_url(url)
        self.home = home
        self._busy_timeout = busy_timeout
        self._room = threading.BoundedSemaphore(MOST_TRANSACTIONS)
        self._idle: list[tuple[sa.Connection, float]] = []
        limits = _limits(busy_timeout)
        self._to_read = (_BEGIN_READING, _setting(limits))
        self._to_write = (_BEGIN_WRITING, _setting(limits | _BY_INDEX))
        self.engine = engine_for(url)
        pipelines.end_for_others(self.engine)

    @contextmanager
    def write(self, evidence: Evidence | None = None) -> Iterator[sa.Connection]:
        """Open a transaction in which each statement sees what was committed before it."""
        with failures_in_words(psycopg.Error, self._told), self._transaction(self._to_write, evidence) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the database and locks nobody out."""
        with failures_in_words(psycopg.Error, self._told), self._transaction(self._to_read) as connection:
            yield connection

    def keep_others_out(self, connection: sa.Connection, subject: str) -> None:
        """Wait until no other transaction is here for this subject."""
        key = int.from_bytes(hashlib.blake2b(f"clworker {subject}".encode(), digest_size=8).digest(), signed=True)
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key,))

    def take_time(self, connection: sa.Connection) -> None:
        """Lift the limit on the time of a statement; locks are waited for as long as ever."""
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        patient(connection, math.inf)

    def announce(self, connection: sa.Connection) -> None:
        """Notify those who listen, when the transaction is committed."""
        driver_of(connection).execute(f"NOTIFY {CHANNEL}", prepare=False)

    def watch_changes(self) -> Announcements:
        """Return what listens, once it is asked to, on a connection of its own."""
        return Announcements(self.connect, self._notify, self.label)

    def close(self) -> None:
        """Close every connection; the database can be used again afterwards."""
        while (kept := self._kept()) is not None:
            _drop(kept[0])

    def connect(self) -> "psycopg.Connection[Any]":
        """Open a connection beside those of the transactions. Raises StoreUnavailable."""
        with failures_in_words(psycopg.Error, self._told):
            opened = self.engine.raw_connection()
            driver: Any = opened.driver_connection
            opened.detach()
            connected: psycopg.Connection[Any] = driver
            return connected

    def _notify(self, payload: str) -> None:
        with self.write() as connection:
            connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    @contextmanager
    def _transaction(self, begin: Sequence[str], evidence: Evidence | None = None) -> Iterator[sa.Connection]:
        if not self._room.acquire(timeout=self._busy_timeout):
            raise StoreUnavailable(f"database {self.label}: every connection of this program is busy for too long")
        try:
            connection = self._begun(begin)
            try:
                yield connection
            except BaseException:
                self._undo(connection)
                raise
            self._commit(connection, evidence)
        finally:
            self._room.release()

    def _begun(self, begin: Sequence[str]) -> sa.Connection:
        """Begin on a connection that was kept, or on a new one where that was cut meanwhile."""
        while (kept := self._kept()) is not None:
            connection, used_at = kept
            try:
                # The answer is not waited for on a connection that has just proven itself.
                self._begin(connection, begin, wait=time.monotonic() > used_at + _IDLE or _has_news(connection))
                return connection
            except psycopg.OperationalError as failure:
                if _is_verdict(failure):
                    raise
        connection = self.engine.connect()
        self._begin(connection, begin)
        return connection

    def _begin(self, connection: sa.Connection, begin: Sequence[str], wait: bool = False) -> None:
        try:
            connection.begin()  # does nothing at the server, since the driver is in autocommit mode
            patient(connection, self._busy_timeout if wait else PATIENCE)
            pipelines.begin(connection)
            for statement in begin:
                driver_of(connection).execute(statement)
            if wait:
                pipelines.end(connection)
                patient(connection, PATIENCE)
                pipelines.begin(connection)
        except BaseException:
            self._undo(connection)
            raise

    def _commit(self, connection: sa.Connection, evidence: Evidence | None) -> None:
        try:
            pipelines.commit(connection)
        except psycopg.Error as failure:
            _drop(connection)
            if evidence is None or _is_verdict(failure):
                raise
            stands = self._stands(evidence)
            if stands is None:
                raise InDoubt(self.label, evidence) from failure
            if not stands:
                raise
        except BaseException:
            _drop(connection)
            raise
        else:
            self._keep(connection)

    def _kept(self) -> tuple[sa.Connection, float] | None:
        try:
            return self._idle.pop()
        except IndexError:  # also when another thread has taken the last one at this moment
            return None

    def _keep(self, connection: sa.Connection) -> None:
        self._idle.append((connection, time.monotonic()))

    def _stands(self, evidence: Evidence) -> bool | None:
        """Find out whether a commit whose answer was lost has taken place; None when the server is away for long."""
        deadline = time.monotonic() + _UNSURE
        while time.monotonic() < deadline:
            time.sleep(_PAUSE)  # the first one for a commit that is still under way
            try:
                with self.engine.connect() as connection:
                    connection.exec_driver_sql(f"SET lock_timeout = '{_UNSURE:g}s'")
                    evidence.wait_for_end(connection)
                    return evidence.stands(connection)
            except sa.exc.DBAPIError:
                continue
        return None

    def _undo(self, connection: sa.Connection) -> None:
        try:
            pipelines.break_off(connection)
            connection.rollback()
        except Exception:
            _drop(connection)
            return
        if _is_broken(connection):
            _drop(connection)
        else:
            self._keep(connection)

    def _told(self, failure: Any) -> ClworkerError:
        return in_words(failure, self.label)


def _limits(busy_timeout: float) -> dict[str, str]:
    limits = {
        "statement_timeout": max(_STATEMENT_TIMEOUT, 2 * busy_timeout),
        "lock_timeout": busy_timeout,
        "idle_in_transaction_session_timeout": _IDLE_TIMEOUT,
    }
    return {name: str(round(seconds * 1000)) for name, seconds in limits.items()}


def _setting(values: Mapping[str, str]) -> str:
    """Return the statement that changes settings of the server for one transaction."""
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in values.items())


def _has_news(connection: sa.Connection) -> bool:
    """Tell whether the server has sent something unasked, such as that it has ended the connection."""
    poll = select.poll()
    poll.register(driver_of(connection).fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _is_verdict(failure: psycopg.Error) -> bool:
    """Tell whether the server has refused something, rather than gone away before it could answer."""
    state = failure.sqlstate
    return state is not None and not state.startswith(("08", "57P"))


def _is_broken(connection: sa.Connection) -> bool:
    return connection.closed or connection.invalidated or bool(driver_of(connection).closed)


def _drop(connection: sa.Connection) -> None:
    """Close a connection that may be broken."""
    connection.invalidate()
    connection.close()
