"""The queue at a glance: what waits, what runs, what failed, whatever is in the rows."""

import pytest

from clworker.core.store import overview
from clworker.core.store.overview import Failure, TaskLoad
from tests.conformance.conftest import TASK, Bench


def test_waiting_and_running_jobs_by_task_the_most_awaited_first(bench: Bench) -> None:
    for number in range(2):
        bench.queue(f"waits-{number}", created_at=2000 - number)
    bench.queue("runs", status="processing")
    bench.queue("zooms", status="processing", task_type="zoom")
    bench.queue("done", status="completed", task_type="done")
    found = bench.store.overviews.take()
    assert found.tasks == [TaskLoad(TASK, 2, 1, 1999), TaskLoad("zoom", 0, 1, None)]
    assert found.failures == []


def test_of_the_newest_failed_jobs_the_last_to_end_comes_first(bench: Bench) -> None:
    for number in range(15):
        task = "zoom" if number % 2 else TASK
        fields = {"status": "error", "task_type": task, "error_message": f"no {number}"}
        bench.queue(f"failed-{number}", created_at=number, completed_at=1000 - number, **fields)
    found = bench.store.overviews.take().failures
    assert len(found) == overview.LATEST_FAILURES
    ends = [failure.ended_at or 0 for failure in found]
    assert ends == sorted(ends, reverse=True)
    assert found[:2] == [Failure("failed-0", TASK, "no 0", 1000), Failure("failed-1", "zoom", "no 1", 999)]


def test_texts_without_end_are_cut_and_task_types_without_number_added_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_TASKS", 2)
    long = "x" * 100_000  # as long as PostgreSQL's indexes take, packed
    bench.queue(long, task_type=long, status="error", error_message=long)
    for number in range(4):
        bench.queue(f"w-{number}", task_type=f"type-{number}", created_at=1000 + number)
    bench.queue("most", task_type="type-3")
    for end in "ab":  # alike as far as anybody reads
        bench.queue(f"long-{end}", task_type=long + end, status="processing")
    found = bench.store.overviews.take()
    assert [(load.task_type, load.queued) for load in found.tasks] == [("type-3", 2), ("type-0", 1), ("(others)", 2)]
    assert (found.tasks[-1].running, found.tasks[-1].oldest_at) == (2, 1001)
    (failure,) = found.failures
    assert max(len(failure.job_id), len(failure.task_type), len(failure.message)) <= 2000


def test_columns_that_are_no_text_or_number_are_shown_all_the_same(file_bench: Bench) -> None:
    bench = file_bench
    odd = {"status": "error", "error_message": b"\xff", "completed_at": "soon", "task_type": b"blob"}
    bench.queue("odd", **odd)
    bench.queue("none", status="error", error_message=None)
    messages = {failure.job_id: failure.message for failure in bench.store.overviews.take().failures}
    assert messages == {"odd": "\ufffd", "none": ""}
