"""The port to the database. SQLite and PostgreSQL each have an implementation; ``opening`` chooses."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa

from clworker.core.errors import ClworkerError, StoreUnavailable, UsageFault
from clworker.core.store.changes import Changes

BUSY_TIMEOUT = 10.0
"""Seconds that a statement waits for another program's lock before it fails."""

_TRIES = 5
_LONGEST_PAUSE = 0.05
Given = ParamSpec("Given")
Result = TypeVar("Result")


class Evidence:
    """By what one can tell afterwards that a transaction was committed, when the server's answer was lost.

    Not by the transaction's number: after a crash the server may give that to another one.
    """

    def __init__(self) -> None:
        self._trace: Callable[[], sa.Select[Any]] | None = None
        self.result: Any = None
        """What the transaction comes to, for whoever asks once the server is back."""
        self._locked: Callable[[], sa.Select[Any]] | None = None

    def leave(self, trace: Callable[[], sa.Select[Any]], locked: Callable[[], sa.Select[Any]] | None = None) -> None:
        """Note what makes a query that finds something only if this transaction was committed.

        ``locked`` makes one for a row that this transaction keeps locked until its end.
        """
        self._trace, self._locked = trace, locked

    def wait_for_end(self, connection: sa.Connection) -> None:
        """Wait until the transaction is over: the server may be committing it yet, and nothing be seen of it."""
        if self._locked is not None:
            connection.execute(self._locked().with_for_update()).close()

    def stands(self, connection: sa.Connection) -> bool:
        """Look for it, in another transaction."""
        return self._trace is not None and connection.execute(self._trace()).first() is not None


class Database(ABC):
    """Transactions, and what else of a database is not SQL that all of them speak."""

    engine: sa.Engine
    label: str
    """The URL as it may be shown."""
    home: Path
    """A path of this machine beside which instances keep their lock files: the database, where it is a file."""
    locks_rows: bool
    """Whether a transaction that writes keeps others from the rows alone that it changes, not from everything."""

    @property
    def dialect(self) -> sa.Dialect:
        """The words of this database."""
        return self.engine.dialect

    @abstractmethod
    def write(self, evidence: Evidence | None = None) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that may write; it is committed at the end of the block.

        With ``evidence`` an answer to the commit that gets lost is made up for. Raises
        StoreUnavailable when the database does not answer or cannot be written, InDoubt when
        it may have been committed all the same, Conflict when the same may work at once,
        DatabaseLost when no waiting helps, and UsageFault for values that it refuses.
        """

    @abstractmethod
    def read(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that sees one state of the database and locks nobody out."""

    def prove_writable(self) -> None:
        """Begin and end a transaction that writes nothing. Raises StoreUnavailable."""
        with self.write():
            pass

    @abstractmethod
    def keep_others_out(self, connection: sa.Connection, subject: str) -> None:
        """Have nobody else pass here for this subject before the transaction's end."""

    @abstractmethod
    def take_time(self, connection: sa.Connection) -> None:
        """Let the rest of the transaction last as long as it takes."""

    @abstractmethod
    def announce(self, connection: sa.Connection) -> None:
        """Tell whoever watches for changes, once the transaction is committed, that a job waits."""

    @abstractmethod
    def watch_changes(self) -> Changes:
        """Watch for other connections' commits. Raises StoreUnavailable."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection; the database can be used again afterwards."""


class Conflict(StoreUnavailable):
    """Two transactions were in each other's way, and the database has undone this one."""


class InDoubt(StoreUnavailable):
    """The server went away at a commit, and for so long that nobody knows what became of it."""

    def __init__(self, label: str, evidence: Evidence) -> None:
        super().__init__(
            f"database {label}: the connection broke at a commit, and the server has not come back to say "
            "whether that was made; look before you try again"
        )
        self.evidence = evidence


class RightMissing(StoreUnavailable):
    """The database's user lacks a right."""


@contextmanager
def failures_in_words(driver_error: type[Exception], told: Callable[[Any], ClworkerError]) -> Iterator[None]:
    """Raise what ``told`` makes of the driver's failures, and UsageFault for what could not even be sent."""
    try:
        yield
    except UnicodeEncodeError as failure:
        raise UsageFault(f"{failure.object!r} is no valid text: no database can hold it") from failure
    except (sa.exc.DBAPIError, driver_error) as failure:  # of SQLAlchemy, or of a prepared statement
        raise told(failure.orig if isinstance(failure, sa.exc.DBAPIError) else failure) from failure
    except sa.exc.StatementError as failure:  # a value that JSON cannot say
        raise UsageFault(f"a value cannot be kept in the database: {failure.orig}") from failure


def again_on_conflict(operation: Callable[Given, Result]) -> Callable[Given, Result]:
    """Run a whole transaction again when it was undone in favour of another one."""

    @wraps(operation)
    def repeated(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        for _ in range(_TRIES - 1):
            try:
                return operation(*args, **kwargs)
            except Conflict:
                time.sleep(random.uniform(0, _LONGEST_PAUSE))
        return operation(*args, **kwargs)

    return repeated
