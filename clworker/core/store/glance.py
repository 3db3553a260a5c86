"""A short look into the database for TAB, without SQLAlchemy, which alone takes longer than TAB may.

It reads only, makes no file, and gives up in silence after a moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clworker.core.environment import database_to_look_into
from clworker.core.parsing import is_file_database

_LIMIT = 60
_LOOKED_AT = 2000
"""Jobs of one status in which a prefix is looked for, the newest; of any status the index finds it."""

_LAST_CHARACTER = "\U0010ffff"
Rows = list[tuple[Any, ...]]
Queries = Sequence[tuple[str, Sequence[str]]]
"""Each with the values of its parameters, which are written ``?``."""


@dataclass(frozen=True)
class _Words:
    """What the databases have different words for."""

    job_id: str
    """The id in the order of its bytes."""
    any_job_id: str
    """The same, where no index is to be used."""
    params: str


_OF_FILES = _Words("job_id", "+job_id", "params")
_OF_SERVERS = _Words('job_id COLLATE "C"', 'job_id COLLATE "C"', "CAST(params AS text)")


def jobs(prefix: str, statuses: Sequence[str]) -> Rows:
    """Return id, task type and status of jobs whose ids are text and begin so; of no prefix, the newest."""
    url = database_to_look_into()
    here = _words_of(url)
    fields = "SELECT job_id, task_type, status FROM jobs"
    bounds = (prefix, prefix + _LAST_CHARACTER)
    if statuses:
        # With the status as an equation its index gives the rows in the order of their numbers.
        newest = f"{fields} WHERE status = ? ORDER BY id DESC LIMIT {_LOOKED_AT if prefix else _LIMIT}"
        query = f"SELECT * FROM ({newest}) AS newest WHERE {here.job_id} >= ? AND {here.job_id} < ?"
        return _read(url, [(query, (status, *bounds)) for status in statuses])
    if not prefix:
        query = f"{fields} WHERE {here.any_job_id} >= ? AND {here.any_job_id} < ? ORDER BY id DESC LIMIT {_LIMIT}"
        return _read(url, [(query, bounds)])
    query = f"{fields} WHERE {here.job_id} >= ? AND {here.job_id} < ? ORDER BY {here.job_id}"
    # The last one too: a shell adds what all words have in common, which the first ones alone may have by chance.
    return _read(url, [(f"{query} LIMIT {_LIMIT}", bounds), (f"{query} DESC LIMIT 1", bounds)])


def workers() -> Rows:
    """Return the names of the workers that are remembered."""
    query = "SELECT DISTINCT worker_id FROM clworker_instances ORDER BY worker_id LIMIT 200"
    return _read(database_to_look_into(), [(query, ())])


def params(task_type: str) -> Rows:
    """Return the params of the last jobs of this task, as text."""
    url = database_to_look_into()
    text = _words_of(url).params
    query = f"SELECT {text} FROM jobs WHERE task_type = ? AND length({text}) < 10000 ORDER BY id DESC LIMIT 20"
    return _read(url, [(query, (task_type,))])


def _words_of(url: str | None) -> _Words:
    return _OF_SERVERS if url is not None and not is_file_database(url) else _OF_FILES


def _read(url: str | None, queries: Queries) -> Rows:
    """Return what the queries find, each row once, until the time is over."""
    if url is None:
        return []
    if is_file_database(url):
        from clworker.core.store import file_glance

        return file_glance.read(url, queries)
    try:
        from clworker.core.store import server_glance
    except ImportError:
        return []
    return server_glance.read(url, queries)
