"""A short look into the database for TAB: plain sqlite3, since SQLAlchemy alone takes longer than TAB may.

It reads only, makes no file, and gives up in silence after a moment.
"""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from clworker.core.environment import database_file

_SECONDS = 0.05
_STEPS = 1000
"""Steps of SQLite's machine between looks at the clock: some 10 µs."""

_LIMIT = 60
_LOOKED_AT = 2000
"""Jobs of one status in which a prefix is looked for, the newest; of any status the index finds it."""

_LAST_CHARACTER = "\U0010ffff"
Rows = list[tuple[Any, ...]]


def jobs(prefix: str, statuses: Sequence[str]) -> Rows:
    """Return id, task type and status of jobs whose ids are text and begin so; of no prefix, the newest."""
    fields = "SELECT job_id, task_type, status FROM jobs"
    bounds = (prefix, prefix + _LAST_CHARACTER)
    if statuses:
        # With the status as an equation its index gives the rows in the order of their numbers.
        newest = f"{fields} WHERE status = ? ORDER BY id DESC LIMIT {_LOOKED_AT if prefix else _LIMIT}"
        query = f"SELECT * FROM ({newest}) WHERE job_id >= ? AND job_id < ?"
        return _read([(query, (status, *bounds)) for status in statuses])
    if not prefix:
        return _read([(f"{fields} WHERE +job_id >= ? AND +job_id < ? ORDER BY id DESC LIMIT {_LIMIT}", bounds)])
    query = f"{fields} WHERE job_id >= ? AND job_id < ? ORDER BY job_id"
    # The last one too: a shell adds what all words have in common, which the first ones alone may have by chance.
    return _read([(f"{query} LIMIT {_LIMIT}", bounds), (f"{query} DESC LIMIT 1", bounds)])


def workers() -> Rows:
    """Return the names of the workers that are remembered."""
    return _read([("SELECT DISTINCT worker_id FROM clworker_instances ORDER BY worker_id LIMIT 200", ())])


def params(task_type: str) -> Rows:
    """Return the params of the last jobs of this task."""
    query = "SELECT params FROM jobs WHERE task_type = ? AND length(params) < 10000 ORDER BY id DESC LIMIT 20"
    return _read([(query, (task_type,))])


def _read(queries: Sequence[tuple[str, Sequence[str]]]) -> Rows:
    """Return what the queries find, each row once, until the time is over."""
    found: dict[tuple[Any, ...], None] = {}
    path = database_file()
    if path is None:
        return []
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
