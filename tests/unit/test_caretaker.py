"""Many jobs at once: in small transactions, and what was done is told though the database goes away."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clworker.core import caretaker
from clworker.core.errors import StoreUnavailable
from clworker.core.store.care import Care, Cared
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.in_process import InProcess

JOBS = [f"job-{number}" for number in range(5)]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Batches of two jobs, as they come; the database is gone at the third, which cannot be had on demand."""
    seen: list[Sequence[str]] = []
    real = Care.cancel

    def cancel(self: Care, job_ids: Sequence[str]) -> list[Cared]:
        seen.append(job_ids)
        if len(seen) == 3:
            raise StoreUnavailable("database locked")
        return real(self, job_ids)

    monkeypatch.setattr(caretaker, "BATCH", 2)
    monkeypatch.setattr(Care, "cancel", cancel)
    return seen


def statuses(database: Path) -> list[Any]:
    return [row["status"] for row in databases.rows(database, "SELECT status FROM jobs ORDER BY id")]


def test_what_was_done_before_the_database_went_away_is_told(
    command: InProcess, database: Path, batches: list[Sequence[str]]
) -> None:
    databases.queue(database, *({"job_id": job_id} for job_id in JOBS))
    result = command.run("jobs", "cancel", *JOBS, "-f", "json")
    assert [row["job_id"] for row in result.json] == JOBS[:4]
    assert (result.code, result.errors) == (69, ["database locked"])
    assert batches == [JOBS[:2], JOBS[2:4], JOBS[4:]]
    assert statuses(database) == ["error"] * 4 + ["queued"]


def test_a_job_named_twice_is_dealt_with_once_and_in_the_order_asked_for(store: Store) -> None:
    databases.insert(store.database.home, [{"job_id": job_id, "status": "error"} for job_id in JOBS])
    done = caretaker.retry(store, ["job-3", "none", "job-1", "job-3", "job"], force=False)
    assert [(one.job.job_id, str(one.action)) for one in done.cared] == [("job-3", "queued"), ("job-1", "queued")]
    assert ["'none'" in fault or "several" in fault for fault in done.unknown] == [True, True]
    assert done.failure is None
