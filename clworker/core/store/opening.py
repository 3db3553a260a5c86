"""Which database a URL names: the one place that knows all implementations."""

import tempfile
from pathlib import Path

from clworker.core.errors import UsageFault
from clworker.core.parsing import is_file_database
from clworker.core.store.database import BUSY_TIMEOUT, Database


def open_database(url: str, busy_timeout: float = BUSY_TIMEOUT, home: Path | None = None) -> Database:
    """Return the database, to which nothing is connected yet. ``busy_timeout`` is in seconds.

    ``home`` is where a database that is no file keeps what is this machine's. Raises
    UsageFault when the driver is missing.
    """
    if is_file_database(url):
        from clworker.core.store.sqlite import SqliteDatabase

        return SqliteDatabase(url, busy_timeout)
    try:
        from clworker.core.store.postgres import PostgresDatabase
    except ImportError as failure:  # also of a psycopg that finds no libpq
        raise UsageFault(f"PostgreSQL needs a driver: pip install 'clworker[postgres]' ({failure})") from failure

    return PostgresDatabase(url, busy_timeout, home or Path(tempfile.gettempdir(), "clworker"))
