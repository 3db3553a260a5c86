"""Queues that move between SQLite and PostgreSQL by the real commands, and imports that are cut short."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.in_process import InProcess
from tests.support.postgres import Place, Server
from tests.support.program import PROGRAM, Program
from tests.support.waiting import TIMEOUT, wait_until

ODD: list[dict[str, Any]] = [
    {"job_id": "unicode-ü-\U0001f600", "params": {"text": "\u2028 ü \x1b[31m \U0001f600"}, "created_by": "ann\nbob"},
    {"job_id": "numbers", "params": {"int": 10**30, "float": 1e-300, "null": None}, "created_at": -(1 << 62)},
    {"job_id": "deep", "params": json.loads("[" * 150 + "]" * 150), "progress": 7},
    {"job_id": "list", "params": [], "status": "completed", "output": 0, "completed_at": 5, "progress": 100},
    {"job_id": "long", "status": "error", "error_message": "é" * 150_000, "retry_count": 3},
    {"job_id": "text", "params": {"a": "\\u0000 \\", "b": ""}, "status": "completed", "output": {"x": [1.5, True]}},
]
NUL = {"job_id": "nul", "params": {"text": "a\0b\ud800"}, "status": "error", "error_message": "a\0b"}


def lines_of(*jobs: dict[str, Any]) -> list[str]:
    common = {"task_type": "zoom", "status": "queued", "progress": 0, "retry_count": 0, "max_retries": 3}
    return [json.dumps({**common, "params": {}, "created_at": number, **job}) for number, job in enumerate(jobs)]


@pytest.mark.parametrize(("here", "there"), [("first", "jsonb"), ("current", "first"), ("current", "current")])
def test_a_queue_goes_to_a_server_and_comes_back(
    command: InProcess, postgresql: Emptied, database: Path, tmp_path: Path, here: str, there: str
) -> None:
    databases.create(database, here)
    databases.insert(database, [*ODD, *({"job_id": f"job-{number}"} for number in range(600)), NUL])
    server = {"DATABASE_URL": postgresql.place(there, database).url}
    file = tmp_path / "jobs.jsonl"
    exported = command.ok("jobs", "export").stdout
    file.write_text(exported)
    imported = command.run("jobs", "import", file, **server)
    if there == "jsonb":
        told = (
            r"line 607: its params cannot be kept: a column of type JSONB holds no \u0000; lines 1 to 500 are imported"
        )
        assert imported.code == 1 and imported.errors[0].startswith(told)
        file.write_text("".join(line for line in exported.splitlines(True) if '"nul"' not in line))
        imported = command.ok("jobs", "import", "--existing", "skip", file, **server)
    assert imported.code == 0, imported
    back = command.ok("jobs", "export", **server).stdout.splitlines()

    expected = [json.loads(line) for line in exported.splitlines()]
    if there == "jsonb":
        expected.pop()
    else:
        expected[-1]["error_message"] = r"a\x00b"  # no text of PostgreSQL's holds NUL
    if "first" in (here, there):  # which knows neither
        for job in expected:
            job["priority"] = None if there == "first" else 5
            job["updated_at"] = None
    assert [json.loads(line) for line in back] == expected

    file.write_text("".join(f"{line}\n" for line in back))
    other = tmp_path / "other.db"
    databases.create(other, here)
    command.ok("jobs", "import", file, DATABASE_URL=f"sqlite:///{other}")
    again = command.ok("jobs", "export", DATABASE_URL=f"sqlite:///{other}").stdout.splitlines()
    assert [json.loads(line)["params"] for line in again] == [job["params"] for job in expected]


def test_an_import_that_is_cut_short_has_whole_batches_and_can_be_repeated(program: Program, tmp_path: Path) -> None:
    """By kill -9, by Ctrl-C, and by a server that goes away."""
    lines = lines_of(*({"job_id": f"job-{number}"} for number in range(1300)))
    file = tmp_path / "jobs.jsonl"
    file.write_text("\n".join(lines))
    server = Server()
    try:
        server.start().execute("CREATE DATABASE media")
        place = Place(server.url("media"), program.server_dir / "media_store.db")
        databases.create(place, "current")
        program.environ["DATABASE_URL"] = place.url

        def count() -> int:
            return int(databases.rows(place, "SELECT count(*) AS count FROM jobs")[0]["count"])

        for how, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
            databases.execute(place, "DELETE FROM jobs")
            with _importing(program) as half:
                _feed(half, lines[:700])
                wait_until(lambda: count() == 500, "the first batch is in")
                half.send_signal(how)
                assert half.wait(TIMEOUT) == code
            assert count() == 500

        with _importing(program, "--existing", "skip") as half:
            _feed(half, lines[:1100])
            wait_until(lambda: count() == 1000, "the second batch is in")
            server.stop(signal.SIGQUIT)
            _, told = half.communicate("\n".join(lines[1100:]), TIMEOUT)
            assert half.returncode == 69
            assert told.startswith("Error: database postgresql://postgres@127.0.0.1") and len(told.splitlines()) == 1
        server.start()
        assert count() == 1000
        done = program.ok("jobs", "import", "--existing", "skip", file)
        assert done.stdout == "300 jobs imported; 1000 skipped that were there already\n"
        exported = program.ok("jobs", "export").stdout.splitlines()
        assert [json.loads(line)["job_id"] for line in exported] == [f"job-{number}" for number in range(1300)]
    finally:
        server.remove()


def _importing(program: Program, *options: str) -> "subprocess.Popen[str]":
    command = [PROGRAM, "jobs", "import", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=program.environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _feed(process: "subprocess.Popen[str]", lines: list[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()
