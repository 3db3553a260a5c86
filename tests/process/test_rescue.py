"""The job of a killed ``once`` is taken up by the next one; what is not ours is left alone (invariants 1 and 3)."""

import re
import signal
from contextlib import closing
from pathlib import Path

import pytest

from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.bench import Bench
from tests.support.instances import Member
from tests.support.processes import wait_until_gone


@pytest.fixture
def files(bench: Bench) -> tuple[Path, Path]:
    """An input, and an output path where an old file stands."""
    source, target = bench.program.server_dir / "compute/in.txt", bench.program.server_dir / "compute/out/out.txt"
    for path, text in ((source, "in"), (target, "old")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return source, target


def kill_one_attempt(bench: Bench) -> None:
    with bench.running_once() as once:
        slot = bench.wait_for_mark("on")
        once.signal(signal.SIGKILL)
        wait_until_gone(slot)
    (bench.marks / "on").unlink()


def names_beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_next_once_runs_the_job_of_a_killed_one_and_cleans_up(bench: Bench, files: tuple[Path, Path]) -> None:
    source, target = files
    bench.half_writing_task("copy")
    job_id = bench.queue("copy", {"input_paths": [str(source)], "output_paths": [str(target)]})
    kill_one_attempt(bench)
    assert bench.job(job_id)["status"] == "processing"
    assert target.read_text() == "old"
    assert len(names_beside(target)) == 2

    (bench.marks / "go").touch()
    rescuer = bench.once()

    assert (rescuer.code, rescuer.json["job_id"], rescuer.json["status"]) == (0, job_id, "completed")
    assert (bench.job(job_id)["retry_count"], target.read_text()) == (1, "whole")
    assert names_beside(target) == ["out.txt"]
    assert [attempt["cause"] for attempt in bench.attempts(job_id)] == ["rescued", "completed"]
    (line,) = (line for line in rescuer.log if line["event"] == "job of a dead worker rescued")
    assert (line["job_id"], line["status"]) == (job_id, "queued")
    assert bench.locks() == []


def test_rescue_past_the_last_retry_ends_the_job_and_cleans_up(bench: Bench, files: tuple[Path, Path]) -> None:
    source, target = files
    bench.half_writing_task("copy")
    paths = {"input_paths": [str(source)], "output_paths": [str(target)]}
    job_id = bench.queue("copy", paths, retry_count=3, max_retries=3)
    kill_one_attempt(bench)

    assert bench.once().stdout == ""

    job = bench.job(job_id)
    assert (job["status"], job["retry_count"]) == ("error", 3)
    assert re.fullmatch(
        r"worker worker-default on host \S+ died while it ran the job, attempt 4 of 4", job["error_message"]
    )
    assert job["completed_at"] >= job["started_at"]
    assert (names_beside(target), target.read_text()) == (["out.txt"], "old")


def test_what_a_worker_left_that_was_killed_right_after_an_outcome_is_cleared_up(
    bench: Bench, files: tuple[Path, Path]
) -> None:
    source, target = files
    params = {"input_paths": [str(source)], "output_paths": [str(target)]}
    job_id = bench.queue("image_resize", params)
    dead = Member(bench.database)
    with closing(Store(f"sqlite:///{bench.database}")) as store:
        store.instances.register(dead.instance, dead.file)
        (claim,) = store.claims.claim(dead.id, ["image_resize"])
        store.claims.finish(claim, Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED))
    (target.parent / f".clworker-{claim.token}").mkdir()
    dead.die()
    before = bench.job(job_id)

    assert bench.once("--fail-when-empty").code == 3

    assert (bench.job(job_id), names_beside(target), target.read_text()) == (before, ["out.txt"], "old")
    assert bench.locks() == []


def test_next_attempt_that_cannot_begin_cleans_up_after_the_killed_one(bench: Bench, files: tuple[Path, Path]) -> None:
    source, target = files
    bench.half_writing_task("copy")
    bench.queue("copy", {"input_paths": [str(source)], "output_paths": [str(target)]})
    kill_one_attempt(bench)
    source.unlink()
    assert re.match("input file not found", bench.once().json["error_message"])
    assert (names_beside(target), target.read_text()) == (["out.txt"], "old")


def test_of_two_at_the_same_moment_one_runs_the_job(bench: Bench) -> None:
    bench.task("slow", "mark(params, 'on'); time.sleep(1); return {'status': 'ok', 'task_output': {}}")
    job_id = bench.queue("slow")
    with bench.running_once("--fail-when-empty") as first, bench.running_once("--fail-when-empty") as second:
        ended = sorted((first.result(), second.result()), key=lambda result: result.code)
    assert [result.code for result in ended] == [0, 3]
    assert (ended[0].json["job_id"], ended[1].stdout, ended[1].stderr) == (job_id, "", "")
    assert (bench.job(job_id)["retry_count"], len(bench.attempts(job_id))) == (0, 1)


def test_two_rescuers_at_the_same_moment_count_one_retry(bench: Bench) -> None:
    bench.task("slow", "mark(params, 'on'); time.sleep(600)")
    job_id = bench.queue("slow")
    kill_one_attempt(bench)
    with bench.running_once("-t", "image_resize") as first, bench.running_once("-t", "image_resize") as second:
        rescued = [line for result in (first.result(), second.result()) for line in result.log]
    assert [line["event"] for line in rescued] == ["job of a dead worker rescued"]
    assert (bench.job(job_id)["status"], bench.job(job_id)["retry_count"]) == ("queued", 1)


def test_job_that_another_program_has_claimed_is_not_touched(bench: Bench) -> None:
    bench.task("fast", "return {'status': 'ok', 'task_output': {}}")
    foreign = bench.queue("fast", status="processing", progress=30, started_at=1)
    before = bench.job(foreign)
    assert bench.once("--fail-when-empty").code == 3
    assert bench.job(foreign) == before


def test_job_that_another_program_took_from_a_killed_worker_is_not_touched(bench: Bench) -> None:
    bench.task("slow", "mark(params, 'on'); time.sleep(600)")
    job_id = bench.queue("slow")
    kill_one_attempt(bench)
    databases.execute(bench.database, "UPDATE jobs SET started_at = started_at + 1, progress = 30")
    before = bench.job(job_id)
    assert bench.once("--fail-when-empty").code == 3
    assert bench.job(job_id) == before
    assert [attempt["cause"] for attempt in bench.attempts(job_id)] == ["superseded"]


def test_claim_that_is_lost_while_the_task_runs_ends_it_unrecorded(bench: Bench) -> None:
    bench.task(
        "slow",
        """
        mark(params, "on")
        for percent in range(1, 99):
            progress_callback(percent)
            time.sleep(0.5)
        """,
    )
    job_id = bench.queue("slow")
    with bench.running_once() as once:
        slot = bench.wait_for_mark("on")
        databases.execute(bench.database, "UPDATE jobs SET started_at = started_at + 1, progress = 7")
        before = bench.job(job_id)
        ended = once.result()
        wait_until_gone(slot)
    assert ended.code == 1
    assert bench.job(job_id) == before
    assert [line["event"] for line in ended.log].count("claim lost; the attempt is not recorded") == 1
