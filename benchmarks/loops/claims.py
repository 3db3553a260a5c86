"""The limit of a queue in SQLite: one claim and one finish for each job, each committed, nothing else.

A program of its own: claims.py DATABASE TASK_TYPE
"""

import sqlite3
import sys
import time

_CLAIM = """
UPDATE jobs SET status = 'processing', started_at = ? WHERE id = (
    SELECT id FROM jobs WHERE status = 'queued' AND task_type = ? ORDER BY priority DESC, created_at, id LIMIT 1
) RETURNING id"""
_FINISH = "UPDATE jobs SET status = 'completed', progress = 100, output = '{}', completed_at = ? WHERE id = ?"


def main(path: str, task_type: str) -> None:
    """Complete jobs until somebody ends this program."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    while True:
        claimed = connection.execute(_CLAIM, (_now(), task_type)).fetchall()
        for (row,) in claimed:
            connection.execute(_FINISH, (_now(), row))
        if not claimed:
            time.sleep(0.01)


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main(*sys.argv[1:])
