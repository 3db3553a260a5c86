"""A running job that somebody takes away (invariant 2): its slot ends, nothing of it is recorded."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import databases, foreign
from tests.support.bench import Bench
from tests.support.processes import wait_until_gone
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker, Worker

LOST = "claim lost; the attempt is not recorded"


@pytest.fixture
def folder(bench: Bench) -> Path:
    """The folder of job ``a``, which a silent task is about to write to, in a staging folder."""
    folder = bench.program.server_dir / "compute/jobs/a"
    (folder / "input").mkdir(parents=True)
    (folder / "input/in.txt").write_text("in")
    bench.plugins.install_task(
        "silent",
        f"""
        Path(params.output_paths[0]).write_text("half")
        marks = Path({str(bench.marks)!r})
        (marks / "new").write_text(str(os.getpid()))
        os.rename(marks / "new", marks / "on")
        time.sleep(600)
        """,
    )
    bench.task("quick", "return {'status': 'ok', 'task_output': {}}")
    paths = {"input_paths": [str(folder / "input/in.txt")], "output_paths": [str(folder / "output/out.txt")]}
    bench.queue("silent", paths, job_id="a")
    return folder


@pytest.fixture
def worker(bench: Bench, folder: Path, start_worker: StartWorker) -> Worker:
    """A worker whose one slot is at the job."""
    worker = start_worker()
    bench.wait_for_mark("on")
    return worker


def reset_and_claimed(database: Path) -> None:
    """By hand and by a program that knows no token."""
    (row,) = databases.rows(database, "SELECT started_at FROM jobs WHERE job_id = 'a'")
    foreign.reset(database, "a")
    foreign.claim(database, "a", row["started_at"] + 1)


def completed(database: Path) -> None:
    foreign.complete(database, "a")


def deleted(database: Path) -> None:
    foreign.delete(database, "a")
    shutil.rmtree(database.parent / "compute/jobs/a")


@pytest.mark.parametrize("take_away", [reset_and_claimed, completed, deleted])
def test_its_slot_ends_at_once_and_the_next_job_runs(
    bench: Bench, worker: Worker, folder: Path, take_away: Callable[[Path], None]
) -> None:
    slot = bench.wait_for_mark("on")
    take_away(bench.database)
    before: list[dict[str, Any]] = databases.rows(bench.database, "SELECT * FROM jobs WHERE job_id = 'a'")

    wait_until_gone(slot)
    worker.wait_for(LOST, job_id="a")
    next_job = bench.queue("quick")
    worker.wait_for_jobs(next_job)

    assert databases.rows(bench.database, "SELECT * FROM jobs WHERE job_id = 'a'") == before
    assert len(worker.logged(LOST)) == 1
    if take_away is deleted:
        assert not folder.exists()
    else:
        assert list(folder.glob("output/*")) == []
    assert worker.stop().code == 0
    assert databases.rows(bench.database, "SELECT * FROM clworker_attempts WHERE ended_at IS NULL") == []


def test_a_job_that_was_reset_by_hand_is_run_again_by_the_same_worker(
    bench: Bench, worker: Worker, folder: Path
) -> None:
    (slot,) = bench.wait_for_mark("on")
    (bench.marks / "on").unlink()
    foreign.reset(bench.database, "a", "NULL")
    (again,) = bench.wait_for_mark("on")
    assert again != slot
    wait_until(lambda: len(list(folder.glob("output/.clworker-*"))) == 1, "the older folder is gone")
    assert [attempt["cause"] for attempt in bench.attempts("a")] == ["superseded", None]
