"""How the jobs stand: counts, ages and percentiles, whatever is in the rows."""

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from clworker.core.models.reports import TaskStatistics
from clworker.core.store import statistics
from clworker.core.store.statistics import percentile
from tests.conformance.conftest import TASK, Bench

NOW = 1_000_000


def by_task(bench: Bench, **wanted: Any) -> dict[str, TaskStatistics]:
    return {line.task_type: line for line in bench.store.statistics.by_task(NOW, **wanted)}


def counts(line: TaskStatistics) -> tuple[int, ...]:
    return (line.queued, line.processing, line.completed, line.error, line.other)


@pytest.fixture
def measured(bench: Bench) -> Bench:
    """Two task types: ten finished jobs that waited 10 to 100 ms and ran 1 to 10, some of every other kind."""
    for n in range(1, 11):
        created = 1000 * n
        times = {"created_at": created, "started_at": created + 10 * n, "completed_at": created + 11 * n}
        bench.queue(f"done-{n}", status="error" if n == 4 else "completed", **times)
    bench.queue("cancelled", status="error", created_at=500, completed_at=600)
    bench.queue("waits", created_at=NOW - 125_000)
    bench.queue("waits-longer", created_at=NOW - 7_200_000, priority=9)
    bench.queue("runs", status="processing", created_at=NOW, started_at=NOW, task_type="zoom")
    bench.queue("odd", status="paused", created_at=NOW, task_type="zoom")
    return bench


def test_counts_ages_and_percentiles_of_each_task(measured: Bench) -> None:
    found = by_task(measured)
    assert list(found) == [TASK, "zoom"]
    assert [counts(line) for line in found.values()] == [(2, 0, 9, 2, 0), (0, 1, 0, 0, 1)]
    line = asdict(found[TASK])
    assert (line["oldest_queued_ms"], line["oldest_queued"], line["sample"]) == (7_200_000, "2h", 10)
    assert [line[f"waiting_p{percent}_ms"] for percent in (50, 90, 99)] == [50, 90, 100]
    assert [line[f"running_p{percent}_ms"] for percent in (50, 90, 99)] == [5, 9, 10]
    assert {value for name, value in asdict(found["zoom"]).items() if name.endswith("_ms")} == {None}


def test_only_what_was_created_since_and_of_one_task(measured: Bench) -> None:
    assert [counts(line) for line in by_task(measured, since_ms=8000).values()] == [(1, 0, 3, 0, 0), (0, 1, 0, 0, 1)]
    assert by_task(measured, since_ms=8000)[TASK].waiting_p50_ms == 90
    assert list(by_task(measured, task_type="zoom")) == ["zoom"]
    assert by_task(measured, task_type="unheard-of") == {}


def test_percentiles_are_of_the_newest(measured: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLE", 2)
    line = by_task(measured)[TASK]
    assert (line.sample, line.waiting_p50_ms, line.waiting_p99_ms) == (2, 90, 100)


def test_values_of_no_sense_are_counted_and_not_measured(file_bench: Bench) -> None:
    bench = file_bench
    assert isinstance(bench.path, Path)
    bench.queue("a", status="completed", created_at=1, started_at="soon", completed_at=b"\xff")
    bench.queue("b", status="completed", created_at="x", started_at=5, completed_at=2)
    bench.queue("c", created_at="never")
    with closing(sqlite3.connect(bench.path)) as connection:  # bytes that are no UTF-8, as a status and a task
        bench.queue("d", task_type="e")
        connection.execute(
            "UPDATE jobs SET status = CAST(x'ff41' AS TEXT), task_type = CAST(x'ff' AS TEXT) WHERE job_id = 'd'"
        )
        connection.commit()
    found = by_task(bench)
    assert counts(found[TASK]) == (1, 0, 2, 0, 0)
    assert found[TASK].sample == 0
    assert found[TASK].oldest_queued_ms is None


def test_an_empty_table_has_no_lines(bench: Bench) -> None:
    assert by_task(bench) == {}


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 2), (51, 3), (99, 4), (100, 4)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, expected: int) -> None:
    assert percentile([1, 2, 3, 4], percent) == expected
    assert percentile([7], percent) == 7
    assert percentile([], percent) is None
