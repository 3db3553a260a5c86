"""``jobs submit --wait``: the progress bar, the result, the exit codes and Ctrl-C.

The worker is played by hand, straight in the database.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clworker.core.store.store import Store
from tests.support import databases
from tests.support.program import Program
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

SUBMIT = ("jobs", "submit", "image_resize", "-p", "width=32", "-p", "height=20", "--wait")


@pytest.fixture
def worker(store: Store, database: Path) -> Callable[..., str]:
    """Sets columns of the only job, once it is there, and returns its id."""

    def play(**columns: Any) -> str:
        rows = wait_until(lambda: databases.rows(database, "SELECT job_id FROM jobs"), "the job is queued")
        for name, value in columns.items():
            databases.execute(database, f"UPDATE jobs SET {name} = ?", value)
        job_id: str = rows[0]["job_id"]
        return job_id

    return play


def test_a_completed_job(program: Program, picture: Path, worker: Callable[..., str]) -> None:
    with program.start(*SUBMIT, picture) as running:
        job_id = worker(started_at=1000, completed_at=3500, status="completed")
        result = running.result()
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout == f"{job_id}\n{job_id} image_resize completed in 2.50 s\n"


def test_a_failed_job_as_json(program: Program, picture: Path, worker: Callable[..., str]) -> None:
    with program.start(*SUBMIT, picture, "-f", "jsonl") as running:
        job_id = worker(error_message="it broke", started_at=1000, completed_at=1000, status="error")
        result = running.result()
    assert (result.code, result.stderr) == (1, "")
    queued, ended = map(json.loads, result.stdout.splitlines())
    assert (queued["job_id"], queued["status"]) == (job_id, "queued")
    assert ended == {
        "job_id": job_id,
        "task_type": "image_resize",
        "status": "error",
        "seconds": 0.0,
        "output": None,
        "error_message": "it broke",
    }


def test_a_bar_on_a_terminal_and_data_alone_on_stdout(
    program: Program, picture: Path, worker: Callable[..., str]
) -> None:
    with Terminal(program, *SUBMIT, picture, piped=True) as terminal:
        worker(status="processing", progress=40)
        terminal.wait_for("40%")
        worker(progress=10)  # tried again
        terminal.wait_for("10%")
        job_id = worker(progress=100, started_at=1000, completed_at=2000, status="completed")
        assert terminal.end() == (0, f"{job_id}\n{job_id} image_resize completed in 1.00 s\n")
    assert "image_resize" in terminal.text and "100%" in terminal.text
    assert "Error" not in terminal.text


def test_ctrl_c_stops_the_waiting_alone(program: Program, picture: Path, worker: Callable[..., str]) -> None:
    with program.start(*SUBMIT, picture) as running:
        job_id = worker()
        assert running.process.stdout is not None
        assert running.process.stdout.readline() == f"{job_id}\n"
        running.signal(signal.SIGINT)
        result = running.result()
    assert (result.code, result.stdout) == (130, "")
    assert result.stderr == f"Error: interrupted, but job {job_id} is queued and goes on\n"
    job = program.show(job_id)
    assert job["status"] == "queued"
    assert Path(job["params"]["input_paths"][0]).read_bytes() == picture.read_bytes()


def test_a_job_that_is_deleted_meanwhile(
    program: Program, picture: Path, database: Path, worker: Callable[..., str]
) -> None:
    with program.start(*SUBMIT, picture) as running:
        job_id = worker()
        databases.execute(database, "DELETE FROM jobs")
        result = running.result()
    assert (result.code, result.stdout) == (2, f"{job_id}\n")
    assert result.stderr == f"Error: job {job_id} was deleted while it was waited for\n"
