"""Connections to a PostgreSQL server: how they are made, and when they count as broken."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from sqlalchemy.pool import NullPool

from clworker.core.store.postgres_address import parameters_of

PATIENCE = 45.0
"""Seconds of silence after which an answer comes no more: beyond every limit that a statement has."""

_DEFAULTS: dict[str, str | int] = {
    "application_name": "clworker",
    "client_encoding": "UTF8",  # whatever the database has: of SQL_ASCII the driver would return bytes for texts
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds within which what was sent has to be acknowledged
}
"""How a connection is made, and when the kernel takes it for broken; the URL may say otherwise."""

_OLDEST = 10
Result = TypeVar("Result")


class TooOld(psycopg.Error):
    """The server is of a version that clworker does not know."""


class Connection(psycopg.Connection[Any]):
    """One that does not wait for ever.

    A proxy or a pooler in between acknowledges what is sent, so that the kernel finds nothing
    wrong, also when it has long forgotten where to pass it on.
    """

    patience = PATIENCE

    def wait(self, gen: PQGen[Result], *args: Any, **kwargs: Any) -> Result:
        """Wait for an answer. Raises OperationalError, and is closed, after ``patience`` seconds of silence."""
        return super().wait(self._patiently(gen), *args, **kwargs)

    def _patiently(self, waiting: PQGen[Result]) -> PQGen[Result]:
        silent_since = time.monotonic()
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if ready:
                    silent_since = time.monotonic()
                elif time.monotonic() > silent_since + self.patience:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {self.patience:g} s: the connection is lost")
                wanted = waiting.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result


def engine_for(url: str) -> sa.Engine:
    """Return what connects to the database of a ``postgresql://`` URL, in the driver's autocommit mode."""
    parameters: dict[str, Any] = {**_DEFAULTS, **parameters_of(url)}
    if "," in parameters.get("host", ""):
        parameters.setdefault("target_session_attrs", "read-write")  # of several servers the one that is no replica
    return sa.create_engine(
        "postgresql+psycopg://",
        creator=_connecting(parameters),
        hide_parameters=True,
        poolclass=NullPool,  # we keep connections ourselves
        use_native_hstore=False,  # which would be asked for at every start
    )


def _connecting(parameters: dict[str, Any]) -> Callable[[], Connection]:
    def connect() -> Connection:
        connection = Connection.connect(**parameters, autocommit=True)
        try:
            _look_at(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def _look_at(connection: Connection) -> None:
    if connection.info.server_version < _OLDEST * 10_000:
        found = connection.info.parameter_status("server_version")
        raise TooOld(f"its server is PostgreSQL {found}; clworker needs {_OLDEST} or later")
    # A pooler gives its clients numbers of its own. One that shares its connections would lose what we prepare.
    served_by = connection.execute("SELECT pg_backend_pid()").fetchone()
    if served_by != (connection.info.backend_pid,):
        connection.prepare_threshold = None


def patient(connection: sa.Connection, seconds: float) -> None:
    """Wait so long for what is answered on this connection from now on."""
    driver: Any = connection.connection.driver_connection
    driver.patience = seconds
