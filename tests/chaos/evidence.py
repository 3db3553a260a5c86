"""What a chaos run has left in its database and its folders, read after the last process has ended."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import databases

Row = dict[str, Any]

FINAL = ("completed", "error")


@dataclass(frozen=True)
class Evidence:
    """The rows of the database, by job where they belong to one, and where the files are."""

    jobs: dict[str, Row]
    attempts: dict[str, list[Row]]
    changes: dict[str, list[Row]]
    instances: list[Row]
    integrity: str
    server: Path

    @classmethod
    def read(cls, database: databases.Place) -> "Evidence":
        """Read everything there is."""
        checked = databases.rows(database, "PRAGMA integrity_check") if isinstance(database, Path) else [{"is": "ok"}]
        return cls(
            {row["job_id"]: row for row in databases.rows(database, "SELECT * FROM jobs")},
            _by_job(databases.rows(database, "SELECT * FROM clworker_attempts ORDER BY id")),
            _by_job(databases.rows(database, "SELECT * FROM chaos_audit ORDER BY id")),
            databases.rows(database, "SELECT * FROM clworker_instances"),
            str(next(iter(checked[0].values()))),
            databases.home(database).parent,
        )

    def output_of(self, job_id: str) -> Row:
        """Return what the job's row says about its output."""
        return dict(json.loads(self.jobs[job_id]["output"]))

    def outcomes_of(self, job_id: str) -> list[Row]:
        """Return every recorded change into a final state, and of one."""
        return [change for change in self.changes[job_id] if change["new_status"] in FINAL]

    def deaths_of(self, job_id: str) -> list[Row]:
        """Return the attempts at a job that ended by the death of whoever ran it."""
        return [attempt for attempt in self.attempts[job_id] if attempt["cause"] in ("died", "rescued")]

    def causes(self) -> Counter[str]:
        """Count the attempts by why they ended."""
        return Counter(str(attempt["cause"]) for attempts in self.attempts.values() for attempt in attempts)


def _by_job(rows: list[Row]) -> dict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["job_id"]].append(row)
    return found
