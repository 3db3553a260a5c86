"""``jobs export`` and ``jobs import``: a queue moves whole; what is wrong with a line is said and changes nothing."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from clworker.core.models.jobs import LARGEST_JSON
from clworker.core.transfer.lines import LONGEST_LINE
from tests.support import databases
from tests.support.broker import Broker
from tests.support.in_process import InProcess
from tests.support.program import PROGRAM, Program
from tests.support.terminal import Terminal
from tests.support.watcher import Watcher

FIELDS = [
    *("job_id", "task_type", "status", "progress", "priority", "params", "output", "error_message", "created_at"),
    *("started_at", "completed_at", "updated_at", "retry_count", "max_retries", "created_by"),
]
JOB = {
    "job_id": "a",
    "task_type": "image_resize",
    "status": "queued",
    "progress": 0,
    "params": {"width": 1},
    "created_at": 5,
    "retry_count": 2,
    "max_retries": 3,
}
ROWS: list[dict[str, Any]] = [
    {"job_id": "late", "created_at": 9, "params": {"text": "\x1b[31m ü \u0000 \ud800"}, "created_by": "ann\nbob"},
    {"job_id": "early", "created_at": 1, "status": "completed", "progress": 100, "output": {"size": 1.5}},
    {"job_id": "bad", "created_at": 5, "status": "error", "error_message": "x" * 200_000, "retry_count": 3},
]


def job(**fields: Any) -> dict[str, Any]:
    return {**JOB, **fields}


def written(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return path


def ids(path: Path) -> list[Any]:
    return [row["job_id"] for row in databases.rows(path, "SELECT job_id FROM jobs ORDER BY id")]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Where a test may write the lines to be imported."""
    return tmp_path / "jobs.jsonl"


@pytest.mark.parametrize("generation", databases.GENERATIONS)
def test_a_queue_moves_between_databases_of_any_generation(
    command: InProcess, made_database: Path, tmp_path: Path, lines: Path, generation: str
) -> None:
    databases.insert(made_database, ROWS)
    exported = command.ok("jobs", "export").stdout
    assert [list(json.loads(line)) for line in exported.splitlines()] == [FIELDS] * 3
    assert [json.loads(line)["job_id"] for line in exported.splitlines()] == ["late", "early", "bad"]
    lines.write_text(exported)

    other = tmp_path / "other.db"
    databases.create(other, generation)
    there = {"DATABASE_URL": f"sqlite:///{other}"}
    assert command.ok("jobs", "import", lines, **there).stdout == "3 jobs imported\n"
    columns = "job_id, task_type, status, progress, params, created_at, started_at, completed_at, error_message"
    query = f"SELECT {columns}, retry_count, max_retries, created_by FROM jobs ORDER BY id"
    moved, before = databases.rows(other, query), databases.rows(made_database, query)
    assert moved == before
    (output,) = [json.loads(line)["output"] for line in exported.splitlines() if "early" in line]
    again = [json.loads(line) for line in command.ok("jobs", "export", **there).stdout.splitlines()]
    assert (again[1]["output"], output) == ({"size": 1.5}, {"size": 1.5})
    assert {row["priority"] for row in again} == {5 if generation == "current" else None}


def test_what_was_processing_is_queued_uncounted_and_told(command: InProcess, database: Path, lines: Path) -> None:
    written(lines, job(status="processing", progress=40, started_at=7, output={"half": 1}), b"", job(job_id="b"))
    said = command.ok("jobs", "import", lines).stdout
    assert said == "2 jobs imported, 1 of them queued again that were processing\n"
    (row,) = databases.rows(database, "SELECT * FROM jobs WHERE job_id = 'a'")
    assert (row["status"], row["progress"], row["started_at"], row["output"], row["retry_count"]) == (
        *("queued", 0, 7, None, 2),
    )
    assert databases.rows(database, "SELECT * FROM clworker_attempts") == []


def test_batches_are_whole_or_nothing_and_an_import_can_be_resumed(
    command: InProcess, database: Path, lines: Path
) -> None:
    many = [job(job_id=f"job-{number}") for number in range(700)]
    written(lines, *many[:600], b"?", *many[600:])
    failed = command.run("jobs", "import", lines, "-f", "json")
    assert (failed.code, failed.json["lines"], failed.json["imported"]) == (1, 500, 500)
    assert failed.errors == [
        "line 601: it is not JSON: Expecting value, at character 1; lines 1 to 500 are imported and none after them: "
        "mend it, then import the same again with --existing skip"
    ]
    assert ids(database) == [f"job-{number}" for number in range(500)]

    written(lines, *many)
    assert command.run("jobs", "import", lines).errors == [
        "line 1: there is a job 'job-0' already; leave such jobs as they are with --existing skip; nothing is imported"
    ]
    done = command.ok("jobs", "import", lines, "--existing", "skip")
    assert done.stdout == "200 jobs imported; 500 skipped that were there already\n"
    assert ids(database) == [str(each["job_id"]) for each in many]


def test_a_dry_run_adds_nothing_and_tells_every_fault(command: InProcess, database: Path, lines: Path) -> None:
    command.ok("jobs", "import", written(lines, job()))
    written(lines, job(job_id="b"), job(), job(job_id="b"), job(job_id="c", progress="much"))
    checked = command.run("jobs", "import", lines, "--dry-run")
    assert (checked.code, checked.stdout) == (1, "1 job would be imported\n")
    assert checked.errors == [
        "line 3: its job_id 'b' stands in line 1 already",
        'line 4: progress is "much", not a whole number from 0 to 100',
        "line 2: there is a job 'a' already; leave such jobs as they are with --existing skip",
    ]
    assert ids(database) == ["a"]
    written(lines, *[b"?"] * 1000)
    assert len(command.run("jobs", "import", lines, "--dry-run").errors) == 20


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"\0\0", "it is not JSON: Expecting value, at character 1"),
        (b'{"job_id": "a', "it is not JSON: Invalid control character at, at character 14"),
        (b"\xff\xfe{}", "it is not UTF-8, at byte 1"),
        (b"[" * 100_000, "it is nested too deep"),
        (b'[{"job_id": "a"}]', "it is no JSON object; each line has to be one job, as 'jobs export' writes it"),
        (b'{"job_id": NaN}', "it is not JSON: NaN is no number there"),
        (b'{"job_id": 1e999}', "it is not JSON: 1e999 is no number there"),
        (b'{"job_id": ' + b"1" * 5000 + b"}", "it is not JSON: Exceeds the limit (4300 digits) for integer string"),
        (job(staus="queued"), 'a job has no field "staus"; the fields are job_id, task_type,'),
        ({"job_id": "a"}, "the field task_type is missing"),
        (job(job_id=""), 'job_id is "", not a name'),
        (job(job_id="a\0"), 'job_id is "a\\u0000", with a NUL character, which not every database can hold'),
        (job(task_type="\ud800"), 'task_type is "\\ud800", not valid Unicode, so no database can hold it'),
        (job(status="done"), 'status is "done", none of queued, processing, completed, error'),
        (job(status=["queued"]), "status is a list, none of queued, processing, completed, error"),
        (job(progress=True), "progress is true, not a whole number from 0 to 100"),
        (job(created_at=1.5), "created_at is 1.5, not a whole number from "),
        (job(started_at=1 << 63), "started_at is 9223372036854775808, not a whole number from "),
        (job(retry_count=None), "retry_count is null, not a whole number from 0 to 2147483647"),
        (job(params=None), "params is null, not the parameters of a job"),
        (job(params={"x": "y" * LARGEST_JSON}), "params is a dict, larger than the 4 MiB that clworker reads"),
        (job(output=json.loads("[" * 300 + "]" * 300)), "output is a list, nested too deep"),
        (job(error_message=7), "error_message is 7, not a text"),
        (b" " * (LONGEST_LINE + 1), "it is longer than 16 MiB, which no job is"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_hostile_line_is_one_line_of_error(
    command: InProcess, database: Path, lines: Path, line: dict[str, Any] | bytes, fault: str
) -> None:
    written(lines, job(job_id="good"), line)
    (said,) = command.refused(1, "jobs", "import", lines)
    assert said.startswith(f"line 2: {fault}") and said.endswith("; nothing is imported") and len(said) < 400
    assert not database.exists() or ids(database) == []


def test_an_export_leaves_out_what_no_import_would_take_and_says_so(
    command: InProcess, made_database: Path, lines: Path
) -> None:
    odd: list[dict[str, Any]] = [
        {"job_id": "fast", "progress": 150},
        {"job_id": "", "created_at": 3},
        {"job_id": "large", "params": {"x": "y" * LARGEST_JSON}},
        {"job_id": "strange", "status": "paused"},
    ]
    databases.insert(made_database, [*ROWS, *odd])
    done = command.run("jobs", "export")
    assert done.code == 1
    assert done.errors == [
        "job 'fast' is left out: progress is 150, not a whole number from 0 to 100",
        "job '' is left out: job_id is \"\", not a name",
        "job 'large' is left out: params is larger than the 4 MiB that clworker reads",
        "job 'strange' is left out: status is \"paused\", none of queued, processing, completed, error",
    ]
    lines.write_text(done.stdout)
    assert command.ok("jobs", "import", lines, "--existing", "skip", "-f", "json").json["skipped"] == len(ROWS)


def test_an_export_is_of_what_was_asked_for(command: InProcess, made_database: Path) -> None:
    databases.insert(made_database, [*ROWS, {"job_id": "other", "task_type": "zoom"}])
    for options, expected in (
        (["--status", "completed"], ["early"]),
        (["--status", "queued", "--task", "image_resize"], ["late"]),
        (["--since", "1h"], ["other"]),
        (["--task", "nobody's"], []),
    ):
        exported = command.ok("jobs", "export", *options).stdout
        assert [json.loads(line)["job_id"] for line in exported.splitlines()] == expected


def test_one_program_pipes_into_the_other(program: Program, database: Path, tmp_path: Path) -> None:
    """Through real pipes, into a database that is not there yet; a full disk is one line of error."""
    databases.create(database, "current")
    databases.insert(database, ({"job_id": f"job-{number}"} for number in range(1200)))
    with subprocess.Popen([PROGRAM, "jobs", "export"], env=program.environment(), stdout=subprocess.PIPE) as export:
        environ = program.environment(CL_SERVER_DIR=str(tmp_path / "new"))
        done = subprocess.run(
            [PROGRAM, "jobs", "import"], env=environ, stdin=export.stdout, capture_output=True, text=True, timeout=60
        )
    assert (done.stdout, done.stderr, export.returncode) == ("1200 jobs imported\n", "", 0)
    assert ids(tmp_path / "new/media_store.db") == ids(database)

    with Path("/dev/full").open("w") as full:
        broken = subprocess.run(
            [PROGRAM, "jobs", "export"],
            env=program.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert broken.returncode == 1
    assert broken.stderr == "Error: the jobs cannot be written to stdout: No space left on device\n"


def test_a_file_that_cannot_be_read_is_said(command: InProcess, tmp_path: Path) -> None:
    for path, reason in (("nofile", "No such file or directory"), (tmp_path, "Is a directory")):
        said = command.refused(2, "jobs", "import", path)
        assert said == [f"the file {str(path)!r} cannot be read: {reason}"]


def test_progress_is_shown_at_a_terminal_alone(program: Program, database: Path, lines: Path) -> None:
    databases.queue(database, *ROWS)
    with Terminal(program, "jobs", "export", piped=True) as terminal:
        code, exported = terminal.end()
        assert (code, len(exported.splitlines())) == (0, 3)
        assert "100%" in terminal.text
    lines.write_text(exported)
    with Terminal(program, "jobs", "import", lines, "--existing", "skip") as terminal:
        assert terminal.end()[0] == 0
        assert "100%" in terminal.text and "3 skipped" in terminal.text
    with Terminal(program, "jobs", "import") as terminal:
        assert terminal.end()[0] == 2
        assert "name a FILE, or pipe one to stdin" in terminal.text


@pytest.mark.usefixtures("seen_program")
def test_workers_are_woken_once_a_batch(command: InProcess, broker: Broker, lines: Path) -> None:
    written(lines, *(job(job_id=f"job-{number}") for number in range(501)), job(job_id="c", status="completed"))
    with Watcher(broker.port, "cl_server") as watcher:
        command.ok("jobs", "import", lines)
        watcher.publish("cl_server", {"job_id": "end"})
        told = [message.json for message in watcher.on("cl_server")]
    assert [message["job_id"] for message in told] == ["job-499", "job-500", "end"]
    assert told[0]["event_type"] == "queued"
