"""Deleting finished jobs: what goes, what stays, and what is remembered until the folders are gone too."""

from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.requests import PurgeFilter
from tests.conformance.conftest import TASK, Bench
from tests.support import databases

WANTED = PurgeFilter(("completed", "error"), 100)


def left(bench: Bench) -> set[str]:
    return {row["job_id"] for row in databases.rows(bench.path, "SELECT job_id FROM jobs")}


def found(bench: Bench, wanted: PurgeFilter) -> list[str]:
    return [row.job_id for row in bench.store.purges.find(wanted, None, 10)]


def test_only_what_ended_before_then_in_such_a_status_is_found(bench: Bench) -> None:
    for status in (*ComputeJobStatus, "paused"):
        bench.queue(f"{status}-old", status=str(status), created_at=1, completed_at=99)
    bench.queue("ended-later", status="completed", created_at=1, completed_at=100)
    bench.queue("never-said-when", status="error", created_at=2)
    bench.queue("another-task", status="completed", created_at=3, completed_at=4, task_type="zoom")
    assert found(bench, WANTED) == ["completed-old", "error-old", "never-said-when", "another-task"]
    assert found(bench, PurgeFilter(("error",), 100)) == ["error-old", "never-said-when"]
    assert found(bench, PurgeFilter(("completed",), 100, TASK)) == ["completed-old"]


def test_they_are_found_a_batch_after_another(bench: Bench) -> None:
    for number in range(5):
        bench.queue(f"job-{number}", status="completed", created_at=7 if number else 9, completed_at=9)
    first = bench.store.purges.find(WANTED, None, 3)
    second = bench.store.purges.find(WANTED, first[-1], 3)
    assert [row.job_id for row in (*first, *second)] == ["job-1", "job-2", "job-3", "job-4", "job-0"]
    assert bench.store.purges.find(WANTED, second[-1], 3) == []


def test_what_changed_after_it_was_found_stays_whole(bench: Bench) -> None:
    for job_id in ("gone", "requeued", "ran-again"):
        bench.submit(job_id)
        bench.store.claims.finish(bench.claim(), Outcome.failed("x", Cause.FAILED))
    databases.execute(bench.path, "UPDATE jobs SET created_at = 1, completed_at = 2")
    rows = bench.store.purges.find(WANTED, None, 10)
    bench.store.care.retry(["requeued"], force=False)
    databases.execute(bench.path, "UPDATE jobs SET completed_at = 100 WHERE job_id = 'ran-again'")
    assert bench.store.purges.delete(rows, WANTED) == ["gone"]
    assert left(bench) == {"requeued", "ran-again"}
    assert [len(bench.attempts(job_id)) for job_id in ("gone", "requeued", "ran-again")] == [0, 1, 1]


def test_a_purged_job_is_remembered_until_it_is_forgotten(bench: Bench) -> None:
    for job_id in ("a", "b"):
        bench.queue(job_id, status="completed", created_at=1, completed_at=2)
    purges = bench.store.purges
    purges.delete(purges.find(WANTED, None, 10), WANTED)
    bench.queue("a", status="completed", created_at=1, completed_at=2)
    assert purges.delete(purges.find(WANTED, None, 10), WANTED) == ["a"]
    assert (purges.unfinished("", 10), purges.unfinished("a", 10)) == (["a", "b"], ["b"])
    bench.queue("b")
    assert purges.existing(["a", "b", "c"]) == {"b"}
    purges.forget(["a", "b"])
    assert purges.unfinished("", 10) == []
