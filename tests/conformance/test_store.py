"""The store keeps the contract's table as other programs made it, and reads whatever they put there."""

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clworker.core.errors import UsageFault
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus, NewJob
from clworker.core.store.rows import LONGEST_TEXT
from clworker.core.store.store import Store
from tests.conformance.conftest import TASK, Bench
from tests.support import databases

TEXT = {"título": "Ärger, 東京, 🎞", "lone": "\ud83d", "deep": {"list": [1, 2.5, None, True]}}


def schema_of(path: Path) -> dict[str, str]:
    return {row["name"]: row["sql"] for row in databases.rows(path, "SELECT name, sql FROM sqlite_master")}


def columns_of(path: Path) -> list[tuple[Any, ...]]:
    rows = databases.rows(path, "PRAGMA table_info(jobs)")
    return [(row["name"], row["type"], bool(row["notnull"] or row["pk"])) for row in rows]


def can_hold(bench: Bench, params: str) -> bool:
    """Tell whether others can have put this there: PostgreSQL looks at what it is given, SQLite does not."""
    if isinstance(bench.path, Path):
        return True
    if "\0" in params:
        return False
    if bench.result_column == "task_output":  # its columns are plain text
        return True
    try:
        json.loads(params, parse_constant=_refused, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def test_the_table_that_it_creates_is_the_current_generation(store: Store, database: Path, tmp_path: Path) -> None:
    by_hand = tmp_path / "by-hand.db"
    databases.create(by_hand, "current")
    assert columns_of(database) == columns_of(by_hand)
    assert "AUTOINCREMENT" in schema_of(database)["jobs"]
    indexed = {
        column["name"]
        for index in databases.rows(database, "PRAGMA index_list(jobs)")
        for column in databases.rows(database, f"PRAGMA index_info({index['name']})")
    }
    assert {"job_id", "status", "created_at", "created_by"} <= indexed


def test_a_foreign_table_is_never_altered(made_database: Path) -> None:
    statuses = [str(status) for status in ComputeJobStatus]
    databases.insert(made_database, [{"job_id": status, "status": status, "progress": 7} for status in statuses])
    schema, jobs = schema_of(made_database), databases.rows(made_database, "SELECT * FROM jobs")

    Store(f"sqlite:///{made_database}").close()
    Store(f"sqlite:///{made_database}").close()

    added = {name for name in schema_of(made_database) if name not in schema}
    assert {name: sql for name, sql in schema_of(made_database).items() if name in schema} == schema
    assert "clworker_attempts" in added
    assert all(name.removeprefix("sqlite_autoindex_").startswith("clworker_") for name in added)
    assert databases.rows(made_database, "SELECT * FROM jobs") == jobs


def test_commits_are_durable_and_readers_never_wait(file_bench: Bench) -> None:
    bench = file_bench
    with bench.store.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert databases.rows(bench.path, "PRAGMA journal_mode") == [{"journal_mode": "wal"}]


def test_a_database_in_another_journal_mode_is_switched_to_wal(database: Path) -> None:
    databases.create(database, "first")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    Store(f"sqlite:///{database}").close()
    assert databases.rows(database, "PRAGMA journal_mode") == [{"journal_mode": "wal"}]


def test_a_job_comes_back_as_it_was_added(bench: Bench) -> None:
    bench.store.jobs.add(NewJob("job", "some task", TEXT, priority=9, max_retries=1, created_by="Zoë"))
    job = bench.store.jobs.get("job")
    assert job is not None
    assert (job.task_type, job.params, job.status, job.progress) == ("some task", TEXT, "queued", 0)
    assert (job.retry_count, job.max_retries, job.created_by) == (0, 1, "Zoë")
    assert job.priority == (9 if bench.has_priority else None)
    assert job.updated_at == (job.created_at if bench.has_priority else None)
    assert (job.started_at, job.completed_at, job.output, job.error_message) == (None, None, None, None)


def test_a_second_job_of_one_id_is_the_callers_fault(bench: Bench) -> None:
    bench.submit()
    before = bench.row()
    with pytest.raises(
        UsageFault, match=r"refuses the row: (UNIQUE constraint failed: jobs\.job_id|duplicate key value)"
    ):
        bench.submit()
    assert bench.row() == before


def test_no_value_is_sql_null_through_the_whole_life_of_a_job(bench: Bench) -> None:
    bench.submit()
    is_null = f"SELECT count(*) AS nulls FROM jobs WHERE {bench.result_column} IS NULL"
    assert databases.rows(bench.path, is_null) == [{"nulls": 1}]
    bench.store.claims.give_back(bench.claim(), Cause.STOPPED, counted=False)
    assert databases.rows(bench.path, is_null) == [{"nulls": 1}]
    bench.store.claims.finish(bench.claim(), Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output=None))
    assert databases.rows(bench.path, is_null) == [{"nulls": 1}]


@pytest.mark.parametrize("output", [{}, [], 0, "", False, TEXT], ids=repr)
def test_an_output_is_kept_as_json_text(bench: Bench, output: Any) -> None:
    bench.submit()
    bench.store.claims.finish(bench.claim(), Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output=output))
    job = bench.store.jobs.get("job")
    assert job is not None and job.output == output
    assert json.loads(str(bench.row()[bench.result_column])) == output


@pytest.mark.parametrize("output", [float("nan"), {"path": Path("x")}, {"key": {1, 2}}], ids=repr)
def test_an_output_that_json_cannot_say_is_refused_in_words(bench: Bench, output: Any) -> None:
    bench.submit()
    claim = bench.claim()
    with pytest.raises(UsageFault, match=r"^a value cannot be kept in the database: [^\n]*$"):
        bench.store.claims.finish(claim, Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output=output))
    assert bench.row()["status"] == "processing"


def test_a_message_about_a_file_name_that_is_no_text_is_kept(bench: Bench) -> None:
    bench.submit()
    bench.store.claims.finish(bench.claim(), Outcome.failed("input file not found: /photos/caf\udce9.jpg"))
    assert bench.row()["error_message"] == r"input file not found: /photos/caf\udce9.jpg"


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ('{"größe": "東京"}', {"größe": "東京"}),
        ('{"gr\\u00f6\\u00dfe": 1}', {"größe": 1}),
        ("null", None),
        ("not JSON", "not JSON"),
        ("", ""),
        ('{"width": 1', '{"width": 1'),
        ('{"width": -Infinity}', {"width": -math.inf}),  # for the task's schema to refuse
        ("[" * 300 + "]" * 300, "[" * 300 + "]" * 300),
        ('{"width": ' + "9" * 5000, '{"width": ' + "9" * 5000),
        ("[" * 100_000, "[" * 100_000),
        ('{"x": "' + "y" * (4 << 20) + '"}', "larger than the 4 MiB that clworker reads"),
        ('{"\0": "' + "é" * (2 << 20) + '"}', "larger than the 4 MiB that clworker reads"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_params_of_other_programs_are_json_or_stay_text(bench: Bench, stored: str, read: Any) -> None:
    if not can_hold(bench, stored):
        with pytest.raises(psycopg.Error):
            bench.queue(params=stored)
        return
    bench.queue(params=stored)
    assert bench.claim().job.params == read
    assert bench.row()["params"] == stored


@pytest.mark.parametrize(
    ("stored", "read"),
    [(b'{"width": 1}', {"width": 1}), (b"\xff\xfe\xfd", "\ufffd\ufffd\ufffd"), (b"\x00", "\x00")],
    ids=lambda value: repr(value)[:30],
)
def test_params_that_are_bytes_are_read_as_text(file_bench: Bench, stored: bytes, read: Any) -> None:
    file_bench.queue(params=stored)
    assert file_bench.claim().job.params == read
    assert file_bench.row()["params"] == stored


@pytest.mark.parametrize("text", ["a\0b", "\0", "a\0" + "b" * 200_000, "é" * 200_000], ids=lambda text: repr(text)[:8])
def test_a_text_is_read_beyond_a_nul_as_far_as_any_is_read(file_bench: Bench, text: str) -> None:
    file_bench.queue(status="error", error_message=text, created_by=text)
    (job,) = file_bench.store.jobs.several(["job"])
    for read in (job.error_message, job.created_by):
        assert read is not None and text.startswith(read)
        assert len(read.encode()) == min(len(text.encode()), LONGEST_TEXT)


@pytest.mark.parametrize("stored", ["9" * 5000, "1e999", "-1e999"], ids=lambda text: text[:5])
def test_params_that_are_an_endless_number_are_no_object(bench: Bench, stored: str) -> None:
    bench.queue(params=stored)
    assert bench.claim().job.params in (stored, math.inf, -math.inf)  # the type JSON makes SQLite read a number


def test_text_that_is_not_utf8_hides_no_other_job(file_bench: Bench) -> None:
    bench = file_bench
    bench.queue("damaged")
    databases.execute(bench.path, "UPDATE jobs SET params = CAST(x'7bff' AS TEXT), error_message = CAST(x'ff' AS TEXT)")
    bench.queue("sound")
    (damaged, sound) = bench.store.claims.claim("instance-a", [TASK], limit=2)
    assert (damaged.job.params, sound.job_id) == ("{\ufffd", "sound")


def test_a_column_that_the_generation_lacks_can_be_set_to_no_effect(bench: Bench) -> None:
    bench.submit(priority=5)
    assert bench.store.jobs.update("job", priority=8)
    assert bench.row().get("priority") == (8 if bench.has_priority else None)
    assert not bench.store.jobs.update("no such job", priority=8)
    assert not bench.store.jobs.update("no such job", progress=8)


def test_deleting_forgets_the_attempts_too(bench: Bench) -> None:
    bench.submit()
    bench.claim()
    assert bench.store.jobs.delete("job")
    assert (bench.row(), bench.attempts()) == ({}, [])
    assert not bench.store.jobs.delete("job")
