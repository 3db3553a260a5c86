"""Crash points of the whole program: ``once`` killed at steps all along its way, with its nursery and slot alive."""

import sqlite3
from contextlib import closing
from pathlib import Path

from PIL import Image

from tests.crash.inline_worker import InlineWorker
from tests.crash.scene import attempt_folders, started_jobs
from tests.support import databases
from tests.support.crashing_program import crash
from tests.support.processes import processes_of
from tests.support.program import Program
from tests.support.waiting import wait_until

KILLS = 6
SIZE = (32, 20)


def queue(program: Program, database: Path, picture: Path, number: int) -> Path:
    """Queue a job that goes before all others, and return its output, where an older file stands."""
    output = program.server_dir / f"compute/out/{number}/photo.jpg"
    output.parent.mkdir(parents=True)
    output.write_bytes(picture.read_bytes())
    params = {
        "width": SIZE[0],
        "height": SIZE[1],
        "maintain_aspect_ratio": False,
        "input_paths": [str(picture)],
        "output_paths": [str(output)],
    }
    databases.insert(database, [{"job_id": f"job-{number}", "params": params, "priority": number}])
    return output


def rescue_dead(program: Program) -> None:
    worker = InlineWorker(program.server_dir)
    worker.start()
    worker.rescue_dead()
    worker.end()


def steps_at_least(steps: list[str]) -> int:
    """Return how many of these steps every run takes: progress is written only when there is time for it."""
    progress_writes = steps.count("UPDATE jobs SET") - len(["claim", "finish"])
    return len(steps) - progress_writes * len(["UPDATE", "COMMIT"])


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        opened.load()
        return opened.size


def test_once_is_killed_all_along_and_every_job_has_one_end(
    program: Program, database: Path, picture: Path, tmp_path: Path
) -> None:
    program.environ["CLWORKER_ALLOW_DIR"] = str(tmp_path)
    rescue_dead(program)  # makes the tables, which only the first of all does
    outputs = {"job-0": queue(program, database, picture, 0)}
    last = steps_at_least(crash(program, tmp_path / "steps", None, "once"))
    retries = {"job-0": 0}
    for number in range(1, KILLS + 1):
        job_id = f"job-{number}"
        outputs[job_id] = queue(program, database, picture, number)

        killed_before = crash(program, tmp_path / "steps", number * last // KILLS, "once")[-1]

        # The supervisor is gone; the nursery and the slot have to go with it, and nobody else is there.
        wait_until(lambda: not processes_of(program.server_dir), f"killed before {killed_before!r}, it is gone")
        assert size_of(outputs[job_id]) in ((640, 480), SIZE)
        retries[job_id] = started_jobs(program.server_dir).count(job_id)
        if number < KILLS:
            rescue_dead(program)

    program.drain()

    jobs = {row["job_id"]: row for row in databases.rows(database, "SELECT * FROM jobs")}
    assert {job["status"] for job in jobs.values()} == {"completed"}
    assert {job_id: job["retry_count"] for job_id, job in jobs.items()} == retries
    assert set(retries.values()) == {0, 1}, "some are killed before or after their job, some in it"
    assert [size_of(output) for output in outputs.values()] == [SIZE] * len(outputs)
    ended = "SELECT job_id FROM clworker_attempts WHERE cause = 'completed' ORDER BY id"
    assert sorted(row["job_id"] for row in databases.rows(database, ended)) == sorted(jobs)
    for table in ("attempts", "instances"):
        assert databases.rows(database, f"SELECT * FROM clworker_{table} WHERE ended_at IS NULL") == []
    assert attempt_folders(program.server_dir) == []
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
