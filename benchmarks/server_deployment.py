"""clworker over PostgreSQL, as a user deploys it: a database of its own on a server that others use too."""

import json
import secrets
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from benchmarks import tasks
from benchmarks.installation import Installation
from benchmarks.servers import PostgreSQL

_INSERT = """
INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, retry_count, max_retries,
                  updated_at)
VALUES (%s, %s, 5, %s, 'queued', 0, %s, 0, 3, %s)"""

_FILL_JOBS = """
INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, started_at, completed_at, output,
                  retry_count, max_retries, updated_at)
SELECT md5(n::text), %(task)s, 5, '{}', 'completed', 100, %(now)s - n, %(now)s - n, %(now)s - n, '{}', 0, 3, %(now)s
FROM generate_series(1, %(rows)s) n"""
_FILL_ATTEMPTS = """
INSERT INTO clworker_attempts (job_id, instance, token, started_at, handed_at, ended_at, cause)
SELECT job_id, 'earlier', md5(random()::text), created_at, created_at, %(now)s, status FROM jobs"""

_REFILL = """
INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, retry_count, max_retries,
                  updated_at)
SELECT md5(random()::text || n), %(task)s, 5, '{}', 'queued', 0, %(now)s, 0, 3, %(now)s
FROM generate_series(1, %(rows)s) n"""
_REGISTER = """
INSERT INTO clworker_instances (instance, worker_id, role, host, boot_id, pid, lock_path, lock_device, lock_inode,
                                heartbeat, heartbeat_interval_ms, started_at)
SELECT 'other-' || n, 'other-' || n, 'run', 'elsewhere', 'elsewhere', n, '/none', 0, 0, 0, 30000, 0
FROM generate_series(1, %s) n"""


class ServerDeployment(Installation):
    """One installation; the benchmark adds jobs and looks at them through a connection of its own."""

    def __init__(self, folder: Path, server: PostgreSQL, broker_port: int | None = None) -> None:
        """Make the folder and the database, and have the program create its tables."""
        self._server = server
        self._database = f"bench_{secrets.token_hex(4)}"
        server.ask(f"CREATE DATABASE {self._database}; SELECT 1")
        self.url = server.url(self._database)
        super().__init__(folder, broker_port, DATABASE_URL=self.url)
        self._connection = psycopg.connect(self.url, autocommit=True)
        self._last_before = 0

    def __enter__(self) -> "ServerDeployment":
        return self

    def __exit__(self, *_failure: object) -> None:
        self._connection.close()
        self._server.ask(f"DROP DATABASE IF EXISTS {self._database}; SELECT 1")

    def queue(self, jobs: Iterable[tuple[str, dict[str, Any]]], *, announced: bool = True) -> tuple[list[str], int]:
        """Queue jobs, given by task type and params, in one transaction.

        With ``announced`` as clworker's own programs do, else as any other. Returns their ids
        and the monotonic time of the commit in nanoseconds.
        """
        self._last_before = self.one("SELECT coalesce(max(id), 0) FROM jobs")
        now = time.time_ns() // 1_000_000
        rows = [(str(uuid.uuid4()), task_type, json.dumps(params), now, now) for task_type, params in jobs]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)
            if announced:
                cursor.execute("NOTIFY clworker_queued")
        return [row[0] for row in rows], time.monotonic_ns()

    def fill(self, rows: int) -> None:
        """Add finished no-op jobs with their attempts, as old as autovacuum has seen to them."""
        values = {"task": tasks.NOOP, "now": time.time_ns() // 1_000_000, "rows": rows}
        self._connection.execute(_FILL_JOBS, values)
        self._connection.execute(_FILL_ATTEMPTS, values)
        self._connection.execute("VACUUM ANALYZE")

    def refill(self, jobs: int) -> None:
        """Have so many no-op jobs queued, and no others."""
        self._connection.execute("DELETE FROM jobs WHERE status = 'queued'")
        self._connection.execute(_REFILL, {"task": tasks.NOOP, "now": time.time_ns() // 1_000_000, "rows": jobs})
        self._connection.execute("VACUUM ANALYZE jobs")

    def register(self, workers: int) -> None:
        """Have so many workers of other hosts in the register, and no others."""
        self._connection.execute("DELETE FROM clworker_instances")
        self._connection.execute(_REGISTER, (workers,))
        self._connection.execute("VACUUM ANALYZE clworker_instances")

    def execute(self, statement: LiteralString) -> None:
        """Run a statement that finds nothing."""
        self._connection.execute(statement)

    def one(self, query: LiteralString, *values: Any) -> Any:
        """Return the first value that a query finds; None when it finds none."""
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    def completed(self) -> int:
        """Return how many of the jobs that were queued last are completed."""
        return int(self.one("SELECT count(*) FROM jobs WHERE id > %s AND status = 'completed'", self._last_before))

    def started_ns(self, job_id: str) -> int | None:
        """Return the monotonic time at which a job of ours was started; None while it is not completed."""
        started = self.one("SELECT output->>'started' FROM jobs WHERE job_id = %s", job_id)
        return None if started is None else int(started)
