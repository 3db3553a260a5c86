"""Databases as other programs make them: by hand, in both generations of the contract.

A place is the path of a SQLite file or a database of a PostgreSQL server.
"""

import json
import sqlite3
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from clworker.core.store.store import Store
from tests.support import postgres

Place = Path | postgres.Place

FIRST = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_id VARCHAR NOT NULL UNIQUE, task_type VARCHAR NOT NULL,
    params TEXT NOT NULL, status VARCHAR NOT NULL, progress INTEGER NOT NULL, created_at BIGINT NOT NULL,
    started_at BIGINT, completed_at BIGINT, task_output TEXT, error_message TEXT,
    retry_count INTEGER NOT NULL, max_retries INTEGER NOT NULL, created_by VARCHAR
)"""
CURRENT = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_id VARCHAR NOT NULL UNIQUE, task_type VARCHAR NOT NULL,
    priority INTEGER NOT NULL, params JSON NOT NULL, status VARCHAR NOT NULL, progress INTEGER NOT NULL,
    created_at BIGINT NOT NULL, started_at BIGINT, completed_at BIGINT, output JSON, error_message TEXT,
    retry_count INTEGER NOT NULL, max_retries INTEGER NOT NULL, created_by VARCHAR, updated_at BIGINT
)"""
GENERATIONS = {"first": FIRST, "current": CURRENT}
SERVER_GENERATIONS = {**GENERATIONS, "jsonb": CURRENT.replace(" JSON", " JSONB")}
"""JSONB is what SQLAlchemy's type for PostgreSQL makes, where a service uses that."""
_INDEXES = ("status", "created_at", "created_by")
_NUMBERED = ("INTEGER PRIMARY KEY AUTOINCREMENT", "SERIAL PRIMARY KEY")


def open_store(place: Place, **options: Any) -> Store:
    """Open a store as the program does."""
    if isinstance(place, Path):
        return Store(f"sqlite:///{place}", **options)
    return Store(place.url, home=place.home, **options)


def home(place: Place) -> Path:
    """Return the path beside which lock files lie."""
    return place if isinstance(place, Path) else place.home


def create(path: Place, generation: str) -> None:
    """Create a database of one generation, a SQLite one in WAL mode; a server's exists and is empty."""
    if isinstance(path, postgres.Place):
        with path.connect() as server:
            server.execute(SERVER_GENERATIONS[generation].replace(*_NUMBERED).encode())
            for column in _INDEXES:
                server.execute(f"CREATE INDEX ix_jobs_{column} ON jobs ({column})".encode())
        return
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(GENERATIONS[generation])
        for column in _INDEXES:
            connection.execute(f"CREATE INDEX ix_jobs_{column} ON jobs ({column})")
        connection.commit()


def insert(path: Place, rows: Iterable[dict[str, Any]], timeout: float = 5.0) -> None:
    """Insert rows as another program would, which waits so many seconds for a lock.

    What a row leaves out gets a common value.
    """
    if isinstance(path, postgres.Place):
        with path.connect() as server:
            _copy(server, rows)
        return
    with closing(sqlite3.connect(path, timeout=timeout)) as connection:
        present = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
        for number, row in enumerate(rows):
            named = _values(number, row, present)
            marks = ", ".join("?" * len(named))
            connection.execute(f"INSERT INTO jobs ({', '.join(named)}) VALUES ({marks})", list(named.values()))
        connection.commit()


def _copy(server: "psycopg.Connection[Any]", rows: Iterable[dict[str, Any]]) -> None:
    columns = server.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'jobs'::regclass")
    present = {name for (name,) in columns}
    whole = (_values(number, row, present) for number, row in enumerate(rows))
    for names, alike in groupby(whole, tuple):
        with server.cursor().copy(f"COPY jobs ({', '.join(names)}) FROM STDIN".encode()) as copy:
            for row in alike:
                copy.write_row(list(row.values()))


def _values(number: int, row: dict[str, Any], present: Container[str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "job_id": f"job-{number}",
        "task_type": "image_resize",
        "priority": 5,
        "params": {},
        "status": "queued",
        "progress": 0,
        "created_at": time.time_ns() // 1_000_000,
        "retry_count": 0,
        "max_retries": 3,
        **row,
    }
    if "output" in values and "task_output" in present:
        values["task_output"] = values.pop("output")
    return {
        name: json.dumps(value) if isinstance(value, (dict, list)) else value
        for name, value in values.items()
        if name in present
    }


def queue(path: Path, *rows: dict[str, Any]) -> None:
    """Insert rows into a database that is created when it is not there yet."""
    if not path.exists():
        create(path, "current")
    insert(path, rows)


def connect(path: Place) -> Any:
    """Connect as another program that sees each commit at once."""
    return sqlite3.connect(path, isolation_level=None) if isinstance(path, Path) else path.connect(autocommit=True)


def rows(path: Place, query: str, *values: Any) -> list[dict[str, Any]]:
    """Return what a query finds, straight from the database; its parameters are written ``?``."""
    if isinstance(path, postgres.Place):
        with path.connect(autocommit=True) as server, server.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_in_psycopgs_words(query), values).fetchall()
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]


def execute(path: Place, statement: str, *values: Any) -> None:
    """Change the database as another program would."""
    if isinstance(path, postgres.Place):
        with path.connect() as server:
            server.execute(_in_psycopgs_words(statement), values)
        return
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, values)
        connection.commit()


LOCKED = (sqlite3.OperationalError, psycopg.errors.LockNotAvailable)
"""What ``execute_at_once`` raises when others hold what it would change."""


def execute_at_once(path: Place, statement: str) -> None:
    """Change the database as another program that waits for no lock."""
    if isinstance(path, postgres.Place):
        with path.connect() as server:
            server.execute("SET lock_timeout = 1").close()
            server.execute(statement.encode())
        return
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.execute(statement)
        connection.commit()


def _in_psycopgs_words(statement: str) -> bytes:
    return statement.replace("%", "%%").replace("?", "%s").encode()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock for the time of the block, as a slow writer does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
