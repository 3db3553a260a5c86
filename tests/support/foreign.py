"""What other programs do to the table ``jobs``: they know neither clworker's tables nor its tokens."""

import sqlite3
import time
from contextlib import closing

from tests.support import databases, postgres
from tests.support.databases import Place

_CLAIM = """
UPDATE jobs SET status = 'processing', started_at = %s WHERE id = (
    SELECT id FROM jobs WHERE status = 'queued' AND task_type = %s
    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING job_id"""


def reset(path: Place, job_id: str, started_at: str = "started_at") -> None:
    """Put a job back into the queue by hand; ``started_at`` is an SQL expression."""
    databases.execute(
        path, f"UPDATE jobs SET status = 'queued', progress = 0, started_at = {started_at} WHERE job_id = ?", job_id
    )


def claim(path: Place, job_id: str, started_at: int) -> None:
    """Claim a queued job as every other worker does: by ``status`` and ``started_at``."""
    databases.execute(
        path,
        "UPDATE jobs SET status = 'processing', progress = 0, started_at = ? WHERE job_id = ? AND status = 'queued'",
        started_at,
        job_id,
    )


def complete(path: Place, job_id: str) -> None:
    """Record the end of a job that another worker has run."""
    databases.execute(
        path, "UPDATE jobs SET status = 'completed', progress = 100, completed_at = started_at WHERE job_id = ?", job_id
    )


def delete(path: Place, job_id: str) -> None:
    """Delete a job's row, and nothing else of it."""
    databases.execute(path, "DELETE FROM jobs WHERE job_id = ?", job_id)


def claim_all(path: Place, task_type: str) -> list[str]:
    """Claim job after job until none waits, each in a transaction of its own; return their ids."""
    claimed: list[str] = []
    if isinstance(path, postgres.Place):
        with path.connect(autocommit=True) as server:
            while row := server.execute(_CLAIM, (time.time_ns() // 1_000_000, task_type)).fetchone():
                claimed.append(row[0])
        return claimed
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        while True:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute(
                "SELECT job_id FROM jobs WHERE status = 'queued' AND task_type = ? ORDER BY created_at LIMIT 1",
                (task_type,),
            ).fetchone()
            if row is not None:
                connection.execute(
                    "UPDATE jobs SET status = 'processing', started_at = ? WHERE job_id = ?",
                    (time.time_ns() // 1_000_000, row[0]),
                )
            connection.execute("COMMIT")
            if row is None:
                return claimed
            claimed.append(row[0])
