"""Finding jobs: by id or a beginning of one, and by filters, among ten thousand that are done."""

from pathlib import Path

import pytest

from clworker.core.errors import JobNotFound, UsageFault
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.requests import JobFilter
from clworker.core.store.identity import LockFile
from tests.conformance.conftest import TASK, Bench
from tests.support import databases
from tests.support.clock import NOON, Clock
from tests.support.instances import new_instance


@pytest.fixture
def crowded(bench: Bench) -> Bench:
    """10,000 finished rows, then one row in every status, created one millisecond apart."""
    finished = [
        {
            "job_id": f"old-{number:05}",
            "status": "error" if number % 10 == 0 else "completed",
            "task_type": "image_conversion" if number % 2 else TASK,
            "params": {"größe": number},
            "created_at": number,
            "output": {"number": number},
        }
        for number in range(10_000)
    ]
    every_status = [
        {"job_id": f"new-{status}", "status": str(status), "created_at": 20_000 + number}
        for number, status in enumerate(ComputeJobStatus)
    ]
    databases.insert(bench.path, [*finished, *every_status])
    return bench


def listed(bench: Bench, wanted: JobFilter) -> list[str]:
    return [job.job_id for job in bench.store.jobs.matching(wanted)]


def test_lists_are_newest_first_wherever_the_jobs_are_and_filters_add_up(crowded: Bench) -> None:
    newest = ["new-error", "new-completed", "new-processing", "new-queued", "old-09999", "old-09998"]
    assert listed(crowded, JobFilter(limit=6)) == newest
    assert listed(crowded, JobFilter(limit=1)) == newest[:1]
    assert len(listed(crowded, JobFilter())) == 20
    assert len(listed(crowded, JobFilter(limit=100_000))) == 10_004
    for status in ComputeJobStatus:
        found = crowded.store.jobs.matching(JobFilter(status=status, limit=3))
        assert {job.status for job in found} == {status}
        assert found[0].job_id == f"new-{status}"
    assert listed(crowded, JobFilter(status="error", task_type=TASK, limit=2)) == ["new-error", "old-09990"]
    assert listed(crowded, JobFilter(since_ms=20_002)) == ["new-error", "new-completed"]
    assert listed(crowded, JobFilter(status="queued", since_ms=20_001)) == []
    assert listed(crowded, JobFilter(task_type="unheard-of")) == []

    # Those of one status, behind two thousand newer ones of another.
    late = [{"job_id": f"late-{number}", "status": "queued", "created_at": 30_000} for number in range(2000)]
    databases.insert(crowded.path, late)
    assert listed(crowded, JobFilter(status="completed", limit=3)) == ["new-completed", "old-09999", "old-09998"]
    assert listed(crowded, JobFilter(status="error", limit=3)) == ["new-error", "old-09990", "old-09980"]
    assert len(listed(crowded, JobFilter(status="completed", limit=20_000))) == 9001
    assert listed(crowded, JobFilter(status="queued", limit=2)) == ["late-1999", "late-1998"]
    assert listed(crowded, JobFilter(status="queued", limit=2001))[-1] == "new-queued"
    assert listed(crowded, JobFilter(status="completed", task_type=TASK, limit=2)) == ["new-completed", "old-09998"]
    assert listed(crowded, JobFilter(status="completed", since_ms=9999)) == ["new-completed", "old-09999"]


def test_one_queued_job_is_found_behind_ten_thousand_finished(crowded: Bench) -> None:
    assert crowded.claim().job_id == "new-queued"
    assert crowded.store.claims.claim("instance-a", [TASK, "image_conversion"]) == []


def test_jobs_of_one_creation_time_are_listed_by_their_rows(bench: Bench) -> None:
    for job_id in ("b", "c", "a"):
        bench.queue(job_id, created_at=7)
    assert listed(bench, JobFilter()) == ["a", "c", "b"]


def test_a_workers_jobs_are_those_that_any_of_its_instances_has_claimed(bench: Bench) -> None:
    lock = LockFile("/nowhere", 0, 0)
    for number, name in enumerate(["ann", "bob", "ann"]):
        instance = new_instance(name)
        bench.store.instances.register(instance, lock)
        bench.queue(f"job-{number}", created_at=number)
        bench.claim(instance.instance)
    bench.queue("unclaimed")
    assert listed(bench, JobFilter(worker_id="ann")) == ["job-2", "job-0"]
    assert listed(bench, JobFilter(worker_id="ann", limit=1)) == ["job-2"]
    assert listed(bench, JobFilter(worker_id="nobody")) == []
    assert [attempt.worker_id for attempt in bench.store.jobs.attempts("job-1")] == ["bob"]


@pytest.fixture
def named(bench: Bench) -> Bench:
    """Jobs whose ids begin alike, or hold what SQL patterns would take for something else."""
    ids = ("a", "ab", "abc", "abd", "B-1", "é-1", "50%", "a_c", "x1", "x2", "x3", "x4", "x5")
    databases.insert(bench.path, [{"job_id": job_id} for job_id in ids])
    return bench


FOUND = {"a": "a", "ab": "ab", "abc": "abc", "abd": "abd", "B": "B-1", "é": "é-1", "5": "50%", "a_": "a_c"}
NOT_FOUND = ["b", "abcd", "%", "_b", "e", "*", "a%", " a", "'"]


def test_an_id_or_its_only_beginning_finds_the_job(named: Bench) -> None:
    assert {prefix: named.store.jobs.find(prefix).job_id for prefix in FOUND} == FOUND


def test_what_no_id_begins_with_is_not_found(named: Bench) -> None:
    for prefix in NOT_FOUND:
        with pytest.raises(JobNotFound, match="no job has the id"):
            named.store.jobs.find(prefix)


SLIPS = {
    "3f2b": "did you mean '3f2a'?",
    "3F2A9": "did you mean '3f2a9'?",
    "f32a9c": "did you mean '3f2a9c'?",
    "3f2a9c41-x": "did you mean '3f2a9c41'?",
    "77e1": "did you mean '77e0' or '77e2'?",
    "zzzz": "'clworker jobs' lists them",
}


def test_no_id_holds_a_nul_character(named: Bench) -> None:
    with pytest.raises(UsageFault, match=r"no job has the id|cannot be kept in the database"):
        named.store.jobs.find("a\0")


def test_a_slip_in_an_id_is_answered_with_the_nearest(bench: Bench) -> None:
    others = [{"job_id": f"{number:08}"} for number in range(300)]
    no_text = [b"3f2a\xff"] if isinstance(bench.path, Path) else []
    ids = [{"job_id": job_id} for job_id in ("77e0aaaa", "77e2aaaa", "3f2a9c41", *no_text)]
    databases.insert(bench.path, [*others, *ids])
    for typed, answer in SLIPS.items():
        with pytest.raises(JobNotFound) as caught:
            bench.store.jobs.find(typed)
        assert str(caught.value) == f"no job has the id {typed!r} or an id that begins so; {answer}"


def test_an_ambiguous_beginning_names_some_candidates(named: Bench) -> None:
    with pytest.raises(JobNotFound, match=r"begin with 'x': x1, x2, x3, x4, …$"):
        named.store.jobs.find("x")
    named.store.jobs.delete("x5")
    with pytest.raises(JobNotFound, match=r"begin with 'x': x1, x2, x3, x4$"):
        named.store.jobs.find("x")


def test_an_id_that_is_no_text_is_the_callers_fault(named: Bench) -> None:
    with pytest.raises(UsageFault, match=r"'\\udcff' is no valid text"):
        named.store.jobs.find("\udcff")


def test_an_empty_database_holds_nothing(bench: Bench, tmp_path: Path) -> None:
    assert listed(bench, JobFilter()) == []
    assert bench.store.jobs.get("job") is None
    assert bench.store.jobs.attempts("job") == []
    assert bench.store.claims.claim("instance-a", [TASK]) == []


def test_what_is_claimed_before_a_job_is_counted_by_task_type(bench: Bench) -> None:
    rows = [("a", 5, 2), ("b", 5, 1), ("c", 5, 2), ("d", 9, 3), ("e", 1, 0), ("f", 5, 2)]
    for job_id, priority, created_at in rows:
        task = {"task_type": "image_conversion"} if job_id == "b" else {}
        bench.queue(job_id, priority=priority, created_at=created_at, **task)
    bench.queue("running", status="processing", created_at=0)
    job = bench.store.jobs.find("f")
    assert bench.store.jobs.ahead_of(job) == {"image_conversion": 1, TASK: 3}
    claimed = [claim.job_id for claim in bench.store.claims.claim("instance-a", [TASK, "image_conversion"], 10)]
    assert claimed.index("f") == 4
    assert bench.store.jobs.ahead_of(job) == {}


def test_what_ended_lately_is_what_decided_jobs(bench: Bench, clock: Clock) -> None:
    for number, cause in enumerate([Cause.COMPLETED, Cause.DIED, Cause.FAILED, Cause.TIME_LIMIT]):
        bench.submit(f"job-{number}")
        clock.now = NOON + number
        bench.store.claims.finish(bench.claim(), Outcome.failed("x", cause))
    assert bench.store.jobs.ended_since(NOON + 1) == [(NOON + 3, TASK), (NOON + 2, TASK)]
    assert len(bench.store.jobs.ended_since(NOON)) == 3
