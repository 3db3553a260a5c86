"""``jobs cancel`` and ``jobs retry``: what is done, said and told, whoever holds the job."""

import csv
import io
import signal
from pathlib import Path

import pytest

from clworker.core.clock import now_ms
from tests.support import databases
from tests.support.bench import Bench
from tests.support.broker import Broker
from tests.support.in_process import InProcess
from tests.support.processes import wait_until_gone
from tests.support.program import Program
from tests.support.watcher import Watcher
from tests.support.worker import StartWorker

FIELDS = ["job_id", "task_type", "status", "action", "note"]


@pytest.fixture
def jobs(made_database: Path) -> Path:
    """A job in every state, by its name, and one that another program has claimed."""
    rows = [{"job_id": f"{status}-1", "status": status} for status in ("queued", "completed", "error")]
    foreign = {"job_id": "foreign-1", "status": "processing", "started_at": now_ms() - 5_000, "progress": 30}
    databases.insert(made_database, [*rows, foreign])
    return made_database


def states(path: Path) -> dict[str, str]:
    return {row["job_id"]: row["status"] for row in databases.rows(path, "SELECT job_id, status FROM jobs")}


def test_all_that_can_be_cancelled_is_and_the_rest_is_told(command: InProcess, jobs: Path) -> None:
    result = command.run("jobs", "cancel", "q", "queued-1", "comp", "foreign", "-f", "json")
    warning = "a worker of another program runs it, which may still overwrite this end"
    assert result.json == [
        dict(zip(FIELDS, ("queued-1", "image_resize", "error", "cancelled", None), strict=True)),
        dict(zip(FIELDS, ("foreign-1", "image_resize", "error", "cancelled", warning), strict=True)),
    ]
    assert result.errors == ["job completed-1: only a queued or processing job can be cancelled; this one is completed"]
    assert result.code == 1
    assert states(jobs) == dict.fromkeys(("queued-1", "foreign-1", "error-1"), "error") | {"completed-1": "completed"}


def test_all_that_can_be_tried_again_is_and_the_rest_is_told(command: InProcess, jobs: Path) -> None:
    result = command.run("jobs", "retry", "error", "queued", "foreign", "completed", "gone", "-f", "json")
    assert [(row["job_id"], row["status"], row["action"], row["note"]) for row in result.json] == [
        ("error-1", "queued", "queued", None),
        ("queued-1", "queued", "unchanged", "it is queued already"),
    ]
    foreign, completed, unknown = result.errors
    assert "job foreign-1: a worker of another program holds it since 20" in foreign and "--force" in foreign
    assert "job completed-1: only a job in error" in completed and "submit it anew" in completed
    assert "no job has the id 'gone'" in unknown
    assert result.code == 2

    assert command.ok("jobs", "retry", "--force", "foreign").stdout.splitlines()[2].split()[:4] == [
        "foreign-1",
        "image_resize",
        "queued",
        "queued",
    ]


@pytest.mark.parametrize("name", ["cancel", "retry"])
def test_where_nothing_is_done_nothing_is_printed_but_the_reason(command: InProcess, jobs: Path, name: str) -> None:
    before = states(jobs)
    assert len(command.refused(1, "jobs", name, "completed-1")) == 1
    assert len(command.refused(2, "jobs", name, "zz", "completed-1")) == 2
    assert "Missing argument 'ID...'" in command.refused(2, "jobs", name)[0]
    assert "it is empty" in command.refused(2, "jobs", name, "")[0]
    assert command.run("jobs", name, "zz", "-f", "json").json == []
    assert states(jobs) == before


def test_ids_and_names_of_others_never_reach_the_terminal(command: InProcess, made_database: Path) -> None:
    evil = "a\x1b[31m\x9b2J\u202e\n"
    databases.insert(made_database, [{"job_id": evil, "task_type": evil}, {"job_id": "b\x07", "status": "x\x1b[0m"}])
    for args in (["cancel", "a"], ["retry", "a"], ["retry", "b", "a"], ["explain", "a"], ["explain", "b"]):
        result = command.run("jobs", *args)
        for text in (result.stdout, result.stderr):
            assert all(character.isprintable() or character == "\n" for character in text), args
    (row,) = csv.DictReader(io.StringIO(command.ok("jobs", "cancel", "a", "-f", "csv").stdout))
    assert (list(row), row["action"]) == (FIELDS, "cancelled")


def test_the_other_programs_are_told(seen_program: Program, command: InProcess, broker: Broker, database: Path) -> None:
    databases.queue(database, {"job_id": "a"}, {"job_id": "b", "status": "processing", "progress": 30})
    with Watcher(broker.port, "cl_server") as watcher:
        command.ok("jobs", "cancel", "a", "b")
        command.ok("jobs", "retry", "b")
        command.refused(1, "jobs", "cancel", "a")
        seen = watcher.wait_for(lambda it: len(it.events()) >= 3 and it.events(), "all is told")
    assert [(event["job_id"], event["event_type"], event["progress"]) for event in seen or []] == [
        ("a", "failed", 0),
        ("b", "failed", 30),
        ("b", "queued", 0),
    ]


def queue_with_output(bench: Bench, name: str) -> tuple[str, Path]:
    """Queue a job of the task ``slow``, with an old file where its output goes."""
    target = bench.program.server_dir / f"compute/{name}/out.txt"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    bench.program.server_dir.joinpath("compute/in.txt").write_text("in")
    paths = {"input_paths": [str(bench.program.server_dir / "compute/in.txt")], "output_paths": [str(target)]}
    return bench.queue("slow", paths), target


@pytest.fixture
def slow(bench: Bench) -> Bench:
    """The task ``slow``, which says nothing after half its output until the file ``go`` is there."""
    bench.half_writing_task("slow")
    return bench


def test_a_running_job_is_ended_with_its_slot_and_leaves_nothing_half_written(
    slow: Bench, command: InProcess, start_worker: StartWorker
) -> None:
    job_id, target = queue_with_output(slow, "first")
    worker = start_worker("-t", "slow")
    slot = slow.wait_for_mark("on")
    command.ok("jobs", "cancel", job_id)
    wait_until_gone(slot)
    worker.wait_for("claim lost; the attempt is not recorded", job_id=job_id)

    (slow.marks / "go").touch()
    other, second = queue_with_output(slow, "second")
    worker.wait_for_jobs(other)
    assert (target.read_text(), second.read_text()) == ("old", "whole")
    assert [path.name for path in target.parent.iterdir()] == ["out.txt"]
    job = slow.job(job_id)
    assert (job["status"], job["error_message"], job["output"]) == ("error", "cancelled", None)
    assert [attempt["cause"] for attempt in slow.attempts(job_id)] == ["cancelled"]
    assert worker.stop().code == 0


def kill_one_attempt(bench: Bench) -> None:
    with bench.running_once() as once:
        slot = bench.wait_for_mark("on")
        once.signal(signal.SIGKILL)
        wait_until_gone(slot)
    (bench.marks / "on").unlink()


def test_a_killed_workers_job_is_taken_back_cancelled_and_tried_again(slow: Bench, command: InProcess) -> None:
    job_id, target = queue_with_output(slow, "first")
    kill_one_attempt(slow)
    (reason,) = command.refused(1, "jobs", "retry", job_id)
    assert "which is dead, holds it" in reason
    command.ok("jobs", "retry", "--force", job_id)
    kill_one_attempt(slow)
    assert len(list(target.parent.iterdir())) == 2

    command.ok("jobs", "cancel", job_id)
    assert [path.name for path in target.parent.iterdir()] == ["out.txt"]
    assert target.read_text() == "old"

    command.ok("jobs", "retry", job_id)
    (slow.marks / "go").touch()
    assert slow.once().json["status"] == "completed"
    assert target.read_text() == "whole"
    assert [attempt["cause"] for attempt in slow.attempts(job_id)] == ["retried", "cancelled", "completed"]
    assert (slow.job(job_id)["retry_count"], slow.locks()) == (0, [])
