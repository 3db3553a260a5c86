"""Statements on their way to PostgreSQL together, without waiting for the answer of each.

A transaction begins in a pipeline. Prepared statements stay in it: whoever reads rows waits
for the answers until there. Whatever SQLAlchemy executes itself needs its answer at once, so
it ends the pipeline first. Without it each of a claim's dozen statements costs a way there
and back, and two switches between processes.
"""

from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import sqlalchemy as sa

_KEY = "clworker pipeline"


def driver_of(connection: sa.Connection) -> "psycopg.Connection[Any]":
    """Return psycopg's connection."""
    driver: Any = connection.connection.driver_connection
    connected: psycopg.Connection[Any] = driver
    return connected


def begin(connection: sa.Connection) -> None:
    """Send what follows without waiting, where libpq is new enough (14)."""
    if psycopg.Pipeline.is_supported():
        stack = ExitStack()
        stack.enter_context(driver_of(connection).pipeline())
        connection.info[_KEY] = stack


def end(connection: sa.Connection) -> None:
    """Wait for all that was sent. Raises what any of it has failed with."""
    stack = connection.info.pop(_KEY, None)
    if stack is not None:
        stack.close()


def commit(connection: sa.Connection) -> None:
    """Send the commit behind what was sent before, and wait for all of it."""
    driver_of(connection).execute("COMMIT", prepare=False)
    end(connection)
    connection.commit()  # as SQLAlchemy sees it; the server has done so


def break_off(connection: sa.Connection) -> None:
    """End the pipeline, whatever has failed in it."""
    with suppress(psycopg.Error):
        end(connection)


def end_for_others(engine: sa.Engine) -> None:
    """Have every statement that SQLAlchemy executes wait first for those that were sent before."""

    def before(connection: sa.Connection, *_: Any) -> None:
        end(connection)

    sa.event.listen(engine, "before_cursor_execute", before)
