"""Which database a URL names: the one place that knows all implementations."""

import tempfile
from pathlib import Path

from clworker.core.parsing import is_file_database
from clworker.core.store.database import BUSY_TIMEOUT, Database


def open_database(url: str, busy_timeout: float = BUSY_TIMEOUT, home: Path | None = None) -> Database:
    """Return the database, to which nothing is connected yet. ``busy_timeout`` is in seconds.

    ``home`` is where a database that is no file keeps what is this machine's. Raises
    UsageFault when the driver is missing or cannot make sense of the URL.
    """
    if is_file_database(url):
        from clworker.core.store.sqlite import SqliteDatabase

        return SqliteDatabase(url, busy_timeout)
    from clworker.core.store.postgres import PostgresDatabase

    return PostgresDatabase(url, busy_timeout, home or Path(tempfile.gettempdir(), "clworker"))
