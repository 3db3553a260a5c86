"""Crash points: killed before each step of an operation, a worker leaves nothing that the next does not mend."""

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash import operations
from tests.crash.inline_worker import InlineWorker
from tests.crash.keeping import Kept
from tests.crash.scene import (
    NEW,
    OLD,
    attempt_folders,
    database_of,
    job_row,
    lock_files,
    make_files,
    open_store,
    outputs_of,
    queue_job,
    started_jobs,
)
from tests.support import databases
from tests.support.crashing import Crasher, Operation

Scene = Callable[[Path], None]
MONTH = 31 * 86_400

ON_ONE_JOB: list[Operation] = [
    operations.start_and_end,
    operations.claim,
    operations.execute,
    operations.finish,
    operations.fail,
    operations.give_back,
    operations.write_progress,
    operations.rescue,
    operations.take_over,
]

# Where a server's commits and the steps on files may come in another order.
ON_A_SERVER: list[Operation] = [operations.claim, operations.finish, operations.give_back, operations.rescue]


def walk(crasher: Crasher, operation: Operation, folder: Path, check: Callable[[Path], None]) -> None:
    """Kill the operation before each of its steps, every time in the folder as it is now, and check what is left.

    Over a server, where these are slow, before and after its commits alone.
    """
    kept = Kept(folder)
    steps = crasher.perform(operation, folder, None).steps
    numbers: Sequence[int] = range(1, len(steps) + 1)
    if not isinstance(database_of(folder), Path):  # the steps on files are those of before
        numbers = [number for number in numbers if "COMMIT" in steps[max(0, number - 2) : number]]
        assert numbers
    failures = []
    for number in numbers:
        kept.put_back()
        crash = crasher.perform(operation, folder, number)
        try:
            assert crash.killed
            check(folder)
        except Exception as failure:
            failures.append(f"killed before step {number} of {len(steps)}, {crash.steps[-1]!r}: {failure!r}")
    assert not failures, "\n\n".join(failures)


def mend(folder: Path) -> None:
    """Have a fresh worker do what it does, with lock files that look as if they had lain there for a month."""
    for name in lock_files(folder):
        then = time.time() - MONTH
        os.utime(folder / "clworker-locks" / name, (then, then))
    worker = InlineWorker(folder)
    worker.start()
    worker.rescue_dead()
    worker.run_all()
    worker.end()


def assert_sound(folder: Path) -> None:
    """Nothing of any attempt is left, and the database is whole."""
    assert attempt_folders(folder) == []
    assert lock_files(folder) == []
    place = database_of(folder)
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for table in ("attempts", "instances"):
        left = databases.rows(place, f"SELECT * FROM clworker_{table} WHERE ended_at IS NULL")
        assert left == []


def causes(folder: Path) -> list[object]:
    attempts = databases.rows(database_of(folder), "SELECT cause FROM clworker_attempts ORDER BY id")
    return [attempt["cause"] for attempt in attempts]


def assert_job_is_brought_to_its_one_end(folder: Path) -> None:
    left, outputs = job_row(folder), outputs_of(folder)
    assert outputs[0].read_bytes() in (OLD, NEW)
    assert not outputs[1].exists() or outputs[1].read_bytes() == NEW
    was_failed = left["status"] == "error"
    attempts_before, lost_tries = causes(folder), len(started_jobs(folder))

    mend(folder)

    job = job_row(folder)
    assert_sound(folder)
    assert job["retry_count"] == left["retry_count"] + lost_tries
    if was_failed:
        assert (job, causes(folder)) == (left, attempts_before)
        assert (outputs[0].read_bytes(), outputs[1].exists()) == (OLD, False)
    else:
        assert (job["status"], job["progress"], job["error_message"]) == ("completed", 100, None)
        assert causes(folder).count("completed") == 1
        assert [path.read_bytes() for path in outputs] == [NEW, NEW]


@pytest.mark.parametrize("operation", ON_ONE_JOB, ids=lambda operation: operation.__name__)
def test_job_is_brought_to_its_one_end(crasher: Crasher, folder: Path, operation: Operation) -> None:
    make_files(folder)
    queue_job(folder)
    walk(crasher, operation, folder, assert_job_is_brought_to_its_one_end)


@pytest.mark.parametrize("operation", ON_A_SERVER, ids=lambda operation: operation.__name__)
def test_job_of_a_server_is_brought_to_its_one_end(crasher: Crasher, server_folder: Path, operation: Operation) -> None:
    make_files(server_folder)
    queue_job(server_folder)
    walk(crasher, operation, server_folder, assert_job_is_brought_to_its_one_end)


def test_job_without_retries_ends_in_error_and_leaves_no_folder(crasher: Crasher, folder: Path) -> None:
    make_files(folder)
    queue_job(folder, max_retries=0)

    def check(folder: Path) -> None:
        mend(folder)
        job = job_row(folder)
        assert_sound(folder)
        assert (job["status"], job["retry_count"], causes(folder)) == ("error", 0, ["rescued"])
        assert (outputs_of(folder)[0].read_bytes(), outputs_of(folder)[1].exists()) == (OLD, False)

    walk(crasher, operations.rescue, folder, check)


def test_submission_is_whole_or_was_never_made(crasher: Crasher, any_folder: Path) -> None:
    folder = any_folder
    make_files(folder)
    open_store(folder).close()

    def check(folder: Path) -> None:
        job = job_row(folder)
        staged = [path.read_bytes() for path in folder.glob("compute/jobs/*/input/*")]
        mend(folder)
        assert_sound(folder)
        if job:
            assert (job["status"], staged) == ("queued", [NEW, NEW])
            assert [path.read_bytes() for path in folder.glob("compute/jobs/*/output/*")] == [NEW, NEW]
            assert (job_row(folder)["status"], job_row(folder)["retry_count"]) == ("completed", 0)
        else:
            assert job_row(folder) == {}

    walk(crasher, operations.submit, folder, check)


def test_a_purge_that_was_killed_is_finished_by_the_next(crasher: Crasher, any_folder: Path) -> None:
    folder = any_folder
    open_store(folder).close()
    ended = {"status": "completed", "created_at": 1, "started_at": 1, "completed_at": 2}
    databases.insert(database_of(folder), [{"job_id": job_id, **ended} for job_id in ("a", "b")])
    databases.insert(database_of(folder), [{"job_id": "kept"}])
    for job_id in ("a", "b", "kept"):  # files of just now, which no age would give away
        (folder / "compute/jobs" / job_id / "output").mkdir(parents=True)
        (folder / "compute/jobs" / job_id / "output/out.txt").write_bytes(NEW)

    def check(folder: Path) -> None:
        crasher.perform(operations.purge, folder, None)
        assert [path.name for path in (folder / "compute/jobs").iterdir()] == ["kept"]
        assert (folder / "compute/jobs/kept/output/out.txt").read_bytes() == NEW
        assert job_row(folder)["job_id"] == "kept"
        assert databases.rows(database_of(folder), "SELECT * FROM clworker_purged") == []

    walk(crasher, operations.purge, folder, check)


@pytest.mark.parametrize("generation", ["none", "first"])
def test_database_is_made_whole_by_the_next(crasher: Crasher, folder: Path, generation: str) -> None:
    make_files(folder)
    if generation != "none":
        databases.create(database_of(folder), generation)

    def check(folder: Path) -> None:
        queue_job(folder)
        mend(folder)
        assert_sound(folder)
        assert (job_row(folder)["status"], job_row(folder)["retry_count"]) == ("completed", 0)

    walk(crasher, operations.open_database, folder, check)
