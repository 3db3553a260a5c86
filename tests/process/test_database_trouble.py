"""A worker whose database gets into trouble: it waits and keeps finished work, or stops where waiting is no use."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from clworker.core.store.store import Store
from tests.support import databases, disks
from tests.support.bench import Bench
from tests.support.broker import Broker
from tests.support.in_process import InProcess
from tests.support.processes import open_files_of, wait_until_gone
from tests.support.program import Program, Result
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Watcher
from tests.support.worker import StartWorker, Worker

AWAY = "database out of reach; trying again until it is back"
BACK = "database is back"
FAST = ("--poll-interval", "0.2")
GATED = """
mark(params, "on")
while not Path(params.marks, "gate").exists():
    time.sleep(0.01)
return {"status": "ok", "task_output": {"text": "x" * 200_000}}
"""


@pytest.fixture
def gated(bench: Bench) -> Bench:
    """A task that waits for the file ``gate`` and then has much to say."""
    bench.task("gated", GATED)
    return bench


@contextmanager
def running_job(bench: Bench, start_worker: StartWorker, *args: str) -> Iterator[tuple[Worker, str]]:
    """Have a worker with one job that waits at the gate, and a free slot."""
    job_id = bench.queue("gated")
    worker = start_worker(*FAST, "-c", "2", *args)
    bench.wait_for_mark("on")
    yield worker, job_id


def open_gate(bench: Bench) -> None:
    (bench.marks / "gate").touch()


def troubles(worker: Worker) -> list[str]:
    """Return what the log says of the database, in order."""
    return [line["event"] for line in worker.log if line["event"].startswith("database")]


def assert_lost(result: Result, words: str) -> None:
    """The worker has stopped for good: one line for people, one for the log, no traceback."""
    assert (result.code, result.stdout, len(result.errors)) == (69, "", 1)
    assert words in result.errors[0]
    (line,) = (line for line in result.log if line["event"] == "the database is lost; the worker stops")
    assert words in line["reason"]
    assert not [line for line in result.log if "exception" in line]


def test_a_full_disk_is_waited_for_and_the_outcome_kept(
    gated: Bench, start_worker: StartWorker, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with disks.small_disk(disk):
        gated.program.server_dir = disk
        gated.database = disk / "media_store.db"
        databases.create(gated.database, "current")
        with running_job(gated, start_worker) as (worker, job_id):
            filling = disks.fill(disk)
            open_gate(gated)
            (line,) = worker.wait_for(AWAY)
            assert line["reason"] == f"database sqlite:///{gated.database}: its disk is full"
            filling.unlink()
            (row,) = worker.wait_for_jobs(job_id)
            assert "x" * 200_000 in row["output"]
            worker.wait_for(BACK)
            assert troubles(worker) == [AWAY, BACK]
            assert worker.stop().code == 0


def test_a_database_that_is_away_for_a_while(
    gated: Bench, start_worker: StartWorker, broker: Broker, tmp_path: Path
) -> None:
    """It shows itself without a free slot, says so once, and neither makes another database nor loses the outcome."""
    gated.program.environ.update(broker.environ)
    away = tmp_path / "away"
    with (
        Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher,
        running_job(gated, start_worker, "-w", "w") as (worker, job_id),
    ):
        watcher.wait_for_state("w", 1)
        gated.database.rename(away)
        watcher.wait_for_state("w", 0)
        open_gate(gated)
        (line,) = worker.wait_for(AWAY)
        assert line["reason"] == f"database file {gated.database} is gone; move it back, or put another in its place"
        assert not gated.database.exists()
        away.rename(gated.database)
        worker.wait_for_jobs(job_id)
        watcher.wait_for_state("w", 2)
        said = troubles(worker)
    assert (said.count(AWAY), said.count(BACK)) == (1, 1)


@pytest.mark.parametrize("how", ["deleted", "deleted with its folder", "replaced"])
def test_a_database_that_was_replaced_ends_the_worker_and_a_fresh_one_works(
    gated: Bench, start_worker: StartWorker, tmp_path: Path, how: str
) -> None:
    folder = gated.database.parent
    with running_job(gated, start_worker) as (worker, job_id):
        (slot,) = gated.wait_for_mark("on")
        other = tmp_path / "other.db"
        databases.queue(other, {"job_id": "theirs", "task_type": "gated", "params": {"marks": str(gated.marks)}})
        content = other.read_bytes()
        if how == "deleted with its folder":
            shutil.rmtree(folder)
            worker.wait_for(AWAY)
            folder.mkdir()
        elif how == "deleted":
            for path in folder.glob("media_store.db*"):
                path.unlink()
            worker.wait_for(AWAY)
        other.replace(gated.database)
        result = worker.result()
    assert_lost(result, "was replaced by another one; start again to use that")
    (line,) = (line for line in result.log if line["event"] == "the end of a job could not be recorded")
    assert line["job_id"] == job_id
    wait_until_gone([slot])
    assert gated.database.read_bytes() == content
    if how == "deleted":
        open_gate(gated)
        assert gated.once().json["job_id"] == "theirs"


def test_two_workers_go_on_when_the_log_is_removed_or_its_index_or_both(
    gated: Bench, start_worker: StartWorker
) -> None:
    gated.task("quick", "return {'status': 'ok', 'task_output': {}}")
    with running_job(gated, start_worker, "-w", "a") as (first, job_id):
        second = start_worker(*FAST, "-w", "b", "-t", "quick")

        def both_use_the_log() -> bool:
            log = {f"{gated.database}-wal", f"{gated.database}-shm"}
            return all(log <= set(open_files_of(worker.pid)) for worker in (first, second))

        for count, suffixes in enumerate((["-wal"], ["-shm"], ["-wal", "-shm"]), start=1):
            wait_until(both_use_the_log, "both use the log that is there")
            for suffix in suffixes:
                os.unlink(f"{gated.database}{suffix}")
            for worker in (first, second):
                worker.wait_for("database files were removed while in use; opening them anew", count)
            databases.insert(gated.database, [{"job_id": f"later-{count}", "task_type": "quick"}])
            first.wait_for_jobs(f"later-{count}")
        open_gate(gated)
        first.wait_for_jobs(job_id)
        with closing(Store(f"sqlite:///{gated.database}")) as store:
            assert {record.worker_id for record in store.instances.live()} == {"a", "b"}
        for worker in (first, second):
            assert worker.stop().code == 0
    assert databases.rows(gated.database, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_damaged_page_ends_the_worker(gated: Bench, start_worker: StartWorker) -> None:
    for _ in range(40):
        gated.queue("other", {"text": "x" * 1000})
    worker = start_worker(*FAST)
    databases.rows(gated.database, "PRAGMA wal_checkpoint(TRUNCATE)")
    with gated.database.open("r+b") as file:  # not open in this process, so no lock of SQLite's is dropped
        file.seek(4096)
        file.write(b"\xff" * (gated.database.stat().st_size - 4096))
    databases.execute(gated.database, "PRAGMA user_version = 7")  # has the worker read its pages again
    assert_lost(worker.result(), "the file is damaged or is no SQLite database; restore it from a backup")


def test_a_file_system_that_goes_read_only(
    gated: Bench, start_worker: StartWorker, program: Program, command: InProcess, tmp_path: Path
) -> None:
    """Finished work waits without a flood; whoever starts now is told the reason, and what is there can be read."""
    disk = tmp_path / "disk"
    with disks.breakable_disk(disk, tmp_path / "image"):
        program.server_dir = disk
        gated.database = disk / "media_store.db"
        databases.create(gated.database, "current")
        with running_job(gated, start_worker) as (worker, job_id):
            disks.break_disk(disk)
            open_gate(gated)
            (line,) = worker.wait_for(AWAY)
            assert "its disk is neither failing nor full nor read-only (see the kernel's log)" in line["reason"]
            once = command.run("once")
            assert (once.code, once.stdout, len(once.errors)) == (69, "", 1)
            assert "Read-only file system" in once.errors[0]
            assert command.ok("jobs", "show", job_id, "-f", "json").json["status"] == "processing"
            assert worker.process.poll() is None
            worker.send(signal.SIGKILL)
            result = worker.result()
    assert len(result.log) < 20
