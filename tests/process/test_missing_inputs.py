"""``run --skip-missing-inputs``: a job whose input is not seen here waits for a worker that sees it."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker, Worker, wait_for_jobs

SKIP = "--skip-missing-inputs"


def job(storage: Path, job_id: str, **fields: Any) -> dict[str, Any]:
    folder = storage / "jobs" / job_id
    params = {
        "width": 32,
        "height": 32,
        "input_paths": [str(folder / "input/photo.jpg")],
        "output_paths": [str(folder / "output/photo.jpg")],
    }
    return {"job_id": job_id, "params": params, **fields}


def stage(storage: Path, *job_ids: str) -> None:
    for job_id in job_ids:
        folder = storage / "jobs" / job_id / "input"
        folder.mkdir(parents=True)
        photo(folder / "photo.jpg", (64, 64))


def attempts(database: Path, job_id: str) -> list[tuple[str, str]]:
    """Return who has tried a job and what came of it, but for attempts that never started (jobs claimed in groups)."""
    query = (
        "SELECT worker_id, cause FROM clworker_attempts JOIN clworker_instances USING (instance)"
        " WHERE job_id = ? AND cause IS NOT 'never-started' ORDER BY clworker_attempts.id"
    )
    return [(row["worker_id"], row["cause"]) for row in databases.rows(database, query, job_id)]


@pytest.fixture
def storages(tmp_path: Path) -> tuple[Path, Path]:
    """The storage folders of two hosts that share no files."""
    folders = (tmp_path / "ann's", tmp_path / "bob's")
    for folder in folders:
        folder.mkdir()
    return folders


def test_each_of_two_hosts_runs_the_jobs_whose_input_it_sees(
    start_worker: StartWorker, command: InProcess, database: Path, storages: tuple[Path, Path]
) -> None:
    anns, bobs = storages
    stage(anns, "ann-1", "ann-2")
    stage(bobs, "bob-1", "bob-2")
    rows = [job(bobs, "bob-1"), job(anns, "ann-1"), job(bobs, "bob-2"), job(anns, "ann-2")]
    databases.queue(database, *({"created_at": place, **row} for place, row in enumerate(rows)))

    ann = start_worker("-w", "ann", SKIP, COMPUTE_STORAGE_DIR=str(anns))
    ann.wait_for_jobs("ann-1", "ann-2")
    (missed,) = ann.wait_for("input not seen here; the job is left to another host", job_id="bob-1")
    assert missed["input"] == str(bobs / "jobs/bob-1/input/photo.jpg")
    wait_until(lambda: attempts(database, "bob-2") == [("ann", "input-missing")], "ann has missed bob-2")
    waiting = databases.rows(database, "SELECT status, retry_count, progress FROM jobs WHERE job_id LIKE 'bob-%'")
    assert waiting == [{"status": "queued", "retry_count": 0, "progress": 0}] * 2
    explained = command.ok("jobs", "explain", "bob-1", "-f", "json").json
    assert explained["reason"] == "input-missing"
    assert explained["answer"].endswith(f"its input {bobs}/jobs/bob-1/input/photo.jpg is not seen by 'ann'.")

    bob = start_worker("-w", "bob", CLWORKER_SKIP_MISSING_INPUTS="1", COMPUTE_STORAGE_DIR=str(bobs))
    wait_for_jobs(database, "bob-1", "bob-2")
    assert attempts(database, "bob-1") == [("ann", "input-missing"), ("bob", "completed")]
    assert attempts(database, "ann-1") == [("ann", "completed")]
    assert (bobs / "jobs/bob-1/output/photo.jpg").exists()
    assert [worker.stop().code for worker in (ann, bob)] == [0, 0]


def test_an_input_that_appears_is_found_and_those_behind_are_not_held_up(
    start_worker: StartWorker, program: Program, database: Path
) -> None:
    storage = program.server_dir / "compute"
    stage(storage, "behind")
    missing = [job(storage, f"missing-{number}", created_at=number) for number in range(40)]
    databases.queue(database, *missing, job(storage, "behind", created_at=200))
    worker = start_worker(SKIP, "-c", "2")
    worker.wait_for_jobs("behind")

    stage(storage, "missing-7")
    worker.wait_for_jobs("missing-7")
    assert [cause for _, cause in attempts(database, "missing-7")] == ["input-missing", "completed"]
    query = "SELECT count(*) AS tries FROM clworker_attempts WHERE cause = 'input-missing'"
    assert databases.rows(database, query) == [{"tries": 40}]  # each is claimed but once
    assert worker.stop().code == 0
    query = "SELECT count(*) AS jobs FROM jobs WHERE status = 'queued' AND retry_count = 0"
    assert databases.rows(database, query) == [{"jobs": 39}]


def test_what_is_wrong_with_an_input_but_that_it_is_missing_fails_the_job(
    start_worker: StartWorker, program: Program, database: Path
) -> None:
    storage = program.server_dir / "compute"
    (storage / "jobs/folder/input/photo.jpg").mkdir(parents=True)
    databases.queue(database, job(storage, "folder"), job(storage, "gone"))
    worker: Worker = start_worker(SKIP)
    (row,) = worker.wait_for_jobs("folder", status="error")
    assert row["error_message"].startswith("input is a folder, but a file is needed: ")
    worker.wait_for("input not seen here; the job is left to another host", job_id="gone")
    assert worker.stop().code == 0

    plain = start_worker()
    (row,) = plain.wait_for_jobs("gone", status="error")
    assert row["error_message"].startswith("input file not found: ")
