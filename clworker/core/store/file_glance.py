"""A look into a SQLite file by plain sqlite3."""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from clworker.core.parsing import sqlite_path

_SECONDS = 0.05
_STEPS = 1000
"""Steps of SQLite's machine between looks at the clock: some 10 µs."""


def read(url: str, queries: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[Any, ...]]:
    """Return what the queries find, each row once, until the time is over."""
    found: dict[tuple[Any, ...], None] = {}
    path = sqlite_path(url)
    # Without a log nobody uses the database, and SQLite need not make one to read it.
    mode = "mode=ro" if os.path.exists(os.path.realpath(path) + "-wal") else "immutable=1"
    deadline = time.monotonic() + _SECONDS
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=_SECONDS)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            for query, values in queries:
                for row in connection.execute(query, values):
                    found[row] = None
    except (sqlite3.Error, UnicodeError):
        pass  # what was found until then
    return list(found)
