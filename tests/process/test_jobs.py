"""``jobs`` list and show: filters, formats, ids, and what other programs have written into the table."""

import csv
import io
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from clworker.core.printable import printable
from clworker.core.store.identity import Instance, LockFile, Role
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.program import PROGRAM, Program

FIELDS = [
    *("job_id", "task_type", "status", "progress", "priority", "params", "output", "error_message"),
    *("created_at", "started_at", "completed_at", "updated_at", "retry_count", "max_retries", "created_by"),
]
HOUR = 3_600_000
NOT_IN_THE_FIRST_GENERATION = {"priority": None, "updated_at": None}


def ago(milliseconds: int) -> int:
    return time.time_ns() // 1_000_000 - milliseconds


def ids(command: InProcess, *args: str) -> list[str]:
    return [job["job_id"] for job in command.ok("jobs", *args, "-f", "json").json]


@pytest.fixture
def jobs(made_database: Path) -> Path:
    """Four jobs, the first the newest."""
    databases.insert(
        made_database,
        [
            {"job_id": "aa-1", "status": "error", "created_at": ago(1000), "error_message": "it broke"},
            {"job_id": "aa-2", "created_at": ago(HOUR), "priority": 9},
            {"job_id": "ab-3", "status": "completed", "created_at": ago(3 * HOUR), "output": {"é": [1, None]}},
            {"job_id": "bb-4", "task_type": "image_conversion", "created_at": ago(50 * HOUR), "params": {"q": "ü"}},
        ],
    )
    return made_database


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["aa-1", "aa-2", "ab-3", "bb-4"]),
        (["list"], ["aa-1", "aa-2", "ab-3", "bb-4"]),
        (["--limit", "2"], ["aa-1", "aa-2"]),
        (["--limit", "99999999999999999999"], ["aa-1", "aa-2", "ab-3", "bb-4"]),
        (["--status", "queued"], ["aa-2", "bb-4"]),
        (["--task", "image_conversion"], ["bb-4"]),
        (["--since", "2h"], ["aa-1", "aa-2"]),
        (["--since", "999999999w"], ["aa-1", "aa-2", "ab-3", "bb-4"]),
        (["list", "--status", "queued", "--since", "1d"], ["aa-2"]),
        (["--worker", "nobody"], []),
        (["--task", "no such task"], []),
    ],
)
def test_filters_and_order(command: InProcess, jobs: Path, options: list[str], expected: list[str]) -> None:
    assert ids(command, *options) == expected


def test_twenty_jobs_are_listed_unless_more_are_asked_for(command: InProcess, made_database: Path) -> None:
    databases.insert(made_database, [{} for _ in range(21)])
    assert len(ids(command)) == 20
    assert len(ids(command, "--limit", "21")) == 21


def test_jobs_of_a_worker_are_those_it_ever_claimed(command: InProcess, store: Store, database: Path) -> None:
    databases.insert(database, [{"job_id": "mine"}, {"job_id": "another's"}])
    instance = Instance.new("worker-a", Role.ONCE, 30.0)
    store.instances.register(instance, LockFile("/nowhere", 0, 0))
    store.claims.claim(instance.instance, ["image_resize"])
    assert ids(command, "--worker", "worker-a") == ["mine"]
    assert ids(command, "--worker", "worker") == []
    (attempt,) = command.ok("jobs", "show", "mine", "-f", "json").json["attempts"]
    assert (attempt["worker_id"], attempt["ended_at"]) == ("worker-a", None)
    table = command.ok("jobs", "show", "mine").stdout
    assert "worker-a" in table and "running" in table


def test_every_format_tells_the_same(command: InProcess, jobs: Path) -> None:
    array: list[dict[str, Any]] = command.ok("jobs", "-f", "json").json
    assert [list(job) for job in array] == [FIELDS] * 4
    lines = command.ok("jobs", "-f", "jsonl").stdout.splitlines()
    assert list(map(json.loads, lines)) == array
    rows = list(csv.DictReader(io.StringIO(command.ok("jobs", "--format", "csv").stdout)))
    assert [row["job_id"] for row in rows] == [job["job_id"] for job in array]
    assert list(rows[0]) == FIELDS
    assert json.loads(rows[2]["output"]) == array[2]["output"] == {"é": [1, None]}
    heading, rule, *table = command.ok("jobs").stdout.splitlines()
    assert heading.split() == ["JOB", "TASK", "STATUS", "PROGRESS", "PRIORITY", "AGE", "SECONDS", "ERROR"]
    assert set(rule) == {"-", " "}
    assert [line.split()[0] for line in table] == ["aa-1", "aa-2", "ab-3", "bb-4"]
    assert table[0].endswith("it broke")


def test_an_empty_listing(command: InProcess, made_database: Path) -> None:
    assert command.ok("jobs", "-f", "json").json == []
    assert command.ok("jobs", "-f", "jsonl").stdout == ""
    assert len(command.ok("jobs").stdout.splitlines()) == 2


def test_columns_that_the_first_generation_lacks_are_null(command: InProcess, database: Path) -> None:
    databases.create(database, "first")
    databases.insert(database, [{"job_id": "old", "output": {"a": 1}}])
    (job,) = command.ok("jobs", "-f", "json").json
    assert {name: job[name] for name in NOT_IN_THE_FIRST_GENERATION} == NOT_IN_THE_FIRST_GENERATION
    assert job["output"] == {"a": 1}
    assert command.ok("jobs", "show", "old", "-f", "json").json == {**job, "attempts": []}
    assert "priority       -\n" in command.ok("jobs", "show", "old").stdout


def test_show_takes_a_unique_beginning_and_tells_times_for_people(command: InProcess, jobs: Path) -> None:
    databases.execute(jobs, "UPDATE jobs SET started_at = 1702123456789 WHERE job_id = 'bb-4'")
    shown = command.ok("jobs", "show", "b").stdout
    assert "bb-4" in shown and "2023-12-09T12:04:16Z" in shown
    assert command.ok("jobs", "show", "b", "-f", "json").json["started_at"] == 1702123456789


def test_a_whole_id_wins_over_a_longer_one(command: InProcess, made_database: Path) -> None:
    databases.insert(made_database, [{"job_id": "one"}, {"job_id": "one-more"}])
    assert command.ok("jobs", "show", "one", "-f", "json").json["job_id"] == "one"


@pytest.mark.parametrize(
    ("job_id", "words"),
    [
        ("aa", ["several", "'aa'", "aa-1, aa-2"]),
        ("zz", ["no job", "'zz'", "clworker jobs"]),
        ("%", ["no job"]),
        ("", ["empty", "jobs show --help"]),
        ("\udcff", ["not UTF-8"]),
    ],
)
def test_an_id_that_names_no_job_or_several(command: InProcess, jobs: Path, job_id: str, words: list[str]) -> None:
    (error,) = command.refused(2, "jobs", "show", job_id)
    for word in words:
        assert word in error


def test_control_characters_of_others_never_reach_the_terminal(command: InProcess, made_database: Path) -> None:
    evil = "a\x1b[31m\x07\r\n\x9b2J\u202eb"
    row = {"job_id": evil, "task_type": evil, "error_message": evil, "created_by": evil, "params": {evil: evil}}
    databases.insert(made_database, [row, {"job_id": "a\x1b[0m"}])
    csv_of_all = command.ok("jobs", "-f", "csv").stdout
    assert len(csv_of_all.splitlines()) == 3, "one line for each job"
    assert [row["job_id"] for row in csv.DictReader(io.StringIO(csv_of_all))] == [r"a\x1b[0m", printable(evil)]
    for args in (["jobs"], ["jobs", "-f", "csv"], ["jobs", "show", evil], ["jobs", "show", "a"]):
        result = command.run(*args)
        for text in (result.stdout, result.stderr):
            assert all(character.isprintable() or character == "\n" for character in text)
        assert r"a\x1b[31m" in result.stdout + result.stderr
    assert {job["job_id"] for job in command.ok("jobs", "-f", "json").json} == {evil, "a\x1b[0m"}


def test_the_reader_of_a_pipe_may_leave_early(program: Program, database: Path) -> None:
    databases.create(database, "current")
    databases.insert(database, [{"params": {"text": "x" * 1000}} for _ in range(300)])
    with subprocess.Popen(
        [PROGRAM, "jobs", "-f", "json", "--limit", "300"],
        env=program.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "[\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 141


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "iso8859-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_locale_that_cannot_say_everything(program: Program, database: Path, locale: dict[str, str]) -> None:
    databases.create(database, "current")
    databases.insert(database, [{"error_message": "☃" * 100, "params": {"name": "☃"}}])
    assert program.ok("jobs", **locale).stdout.rstrip().endswith(("☃…", r"\u2603\u2026"))
    (job,) = program.ok("jobs", "-f", "json", **locale).json
    assert job["params"] == {"name": "☃"}


def test_a_closed_stdout_is_no_failure(program: Program) -> None:
    closing = ["sh", "-c", f"exec {PROGRAM} jobs -f json >&-"]
    done = subprocess.run(closing, env=program.environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
