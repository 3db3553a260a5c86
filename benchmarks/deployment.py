"""clworker over SQLite, as a user deploys it."""

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import tasks
from benchmarks.installation import Installation

_INSERT = """
INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, completed_at,
                  retry_count, max_retries, updated_at)
VALUES (?, ?, ?, ?, ?, 0, ?, ?, 0, 3, ?)"""

_ATTEMPTS = """
INSERT INTO clworker_attempts (job_id, instance, token, started_at, handed_at, ended_at, cause)
SELECT job_id, 'earlier', lower(hex(randomblob(8))), created_at, created_at, ?, status FROM jobs"""


class Deployment(Installation):
    """One installation; the benchmark adds jobs and looks at them through a connection of its own."""

    def __init__(self, folder: Path, broker_port: int | None = None) -> None:
        """Make the folder and have the program create its database in it."""
        super().__init__(folder, broker_port)
        self._connection = sqlite3.connect(folder / "media_store.db", isolation_level=None)
        self._last_before = 0

    def __enter__(self) -> "Deployment":
        return self

    def __exit__(self, *_failure: object) -> None:
        self._connection.close()

    def queue(self, jobs: Iterable[tuple[str, dict[str, Any]]], priority: int = 5) -> tuple[list[str], int]:
        """Queue jobs, given by task type and params, in one transaction, as a service does.

        Returns their ids and the monotonic time of the commit in nanoseconds.
        """
        now = time.time_ns() // 1_000_000
        rows = [
            (str(uuid.uuid4()), task_type, priority, json.dumps(params), "queued", now, None, now)
            for task_type, params in jobs
        ]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_INSERT, rows)
        self._connection.execute("COMMIT")
        return [row[0] for row in rows], time.monotonic_ns()

    def fill(self, rows: int, task_type: str, status: str) -> None:
        """Add rows that no worker will touch: finished ones with their attempts, or queued ones of a foreign task."""
        now = time.time_ns() // 1_000_000
        ended = now if status == "completed" else None
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            _INSERT,
            (
                (str(uuid.uuid4()), task_type, 5, "{}", status, now - rows + number, ended, now)
                for number in range(rows)
            ),
        )
        if ended is not None:
            self._connection.execute(_ATTEMPTS, (ended,))
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def begin_round(self) -> None:
        """Forget what an earlier round has left in the queue; ``completed`` counts from here."""
        self._connection.execute(
            "DELETE FROM jobs WHERE status IN ('queued', 'processing') AND task_type IN (?, ?, 'image_resize')",
            (tasks.NOOP, tasks.SLOW),
        )
        self._last_before = self.one("SELECT coalesce(max(id), 0) FROM jobs")

    def completed(self) -> int:
        """Return how many jobs of this round are completed."""
        # The plus keeps SQLite from the index on status, which counts the rows of all rounds.
        return int(self.one("SELECT count(*) FROM jobs WHERE id > ? AND +status = 'completed'", self._last_before))

    def one(self, query: str, *values: Any) -> Any:
        """Return the one value that a query finds."""
        return self._connection.execute(query, values).fetchone()[0]

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows that a query finds."""
        return self._connection.execute(query, values).fetchall()

    def started_ns(self, job_id: str) -> int:
        """Return the monotonic time at which a completed job of ours was started."""
        return int(json.loads(self.one("SELECT output FROM jobs WHERE job_id = ?", job_id))["started"])
