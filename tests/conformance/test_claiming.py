"""Claiming: the order of the contract, and no job to two workers, whoever else claims at the same moment."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from clworker.core.store.store import Store
from tests.conformance.conftest import TASK, Bench
from tests.support import databases, foreign
from tests.support.clock import Clock
from tests.support.databases import Place

WAITING = [
    # job, task, priority, created_at: in the order of the rows' ids
    ("low-old", "a", 0, 10),
    ("normal-new", "a", 5, 30),
    ("normal-old", "b", 5, 20),
    ("normal-old-too", "a", 5, 20),
    ("high-new", "b", 10, 40),
    ("high-newer", "a", 10, 50),
    ("beyond-the-range", "b", 11, 60),
    ("below-the-range", "b", -1, 5),
]
BY_PRIORITY = sorted(WAITING, key=lambda job: (-job[2], job[3]))
BY_AGE = sorted(WAITING, key=lambda job: job[3])


@pytest.fixture
def waiting(bench: Bench) -> list[str]:
    """The ids of eight jobs in the order in which they are to be claimed."""
    for job_id, task_type, priority, created_at in WAITING:
        bench.queue(job_id, task_type=task_type, priority=priority, created_at=created_at)
    bench.queue("running", task_type="a", status="processing", priority=10, started_at=1)
    bench.queue("done", task_type="a", status="completed", priority=10, started_at=1)
    return [job[0] for job in (BY_PRIORITY if bench.has_priority else BY_AGE)]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_best_job_of_all_task_types_is_claimed_first(bench: Bench, waiting: list[str], limit: int) -> None:
    order: list[str] = []
    while claims := bench.store.claims.claim("instance-a", ["b", "a", "b"], limit):
        assert len(claims) == min(limit, len(waiting) - len(order))
        order += [claim.job_id for claim in claims]
    assert order == waiting


def test_only_jobs_of_the_wanted_types_are_claimed(bench: Bench, waiting: list[str]) -> None:
    wanted = [job_id for job_id in waiting if job_id in {job[0] for job in WAITING if job[1] == "b"}]
    assert [claim.job_id for claim in bench.store.claims.claim("instance-a", ["b", "unheard-of"], 100)] == wanted
    assert bench.store.claims.claim("instance-a", ["b"]) == []
    assert bench.store.claims.claim("instance-a", []) == []


def test_a_claim_is_a_row_in_processing_and_an_open_attempt(bench: Bench, clock: Clock) -> None:
    bench.queue(progress=40, output={"old": 1}, error_message="old", completed_at=5, retry_count=2)
    claim = bench.claim()
    row = bench.row()
    assert (row["status"], row["progress"], row["started_at"]) == ("processing", 0, clock.now)
    assert (row["completed_at"], row[bench.result_column], row["error_message"]) == (None, None, None)
    (attempt,) = bench.attempts()
    assert (attempt["token"], attempt["instance"]) == (claim.token, "instance-a")
    assert (attempt["started_at"], attempt["ended_at"], attempt["cause"]) == (clock.now, None, None)
    assert (claim.job.status, claim.started_at, claim.attempt, claim.older_tokens) == ("processing", clock.now, 3, ())


def test_a_claim_replaces_what_a_former_one_has_left_open(bench: Bench) -> None:
    bench.submit()
    first = bench.claim()
    foreign.reset(bench.path, "job")
    second = bench.claim("instance-b")
    assert second.older_tokens == (first.token,)
    assert [attempt["cause"] for attempt in bench.attempts()] == ["superseded", None]


@pytest.mark.parametrize("now", [-5, 0, 1_000], ids="clock is {} later".format)
def test_started_at_grows_even_when_the_clock_goes_back(bench: Bench, clock: Clock, now: int) -> None:
    bench.queue(started_at=clock.now)
    before = clock.now
    clock.now += now
    assert bench.claim().started_at == max(clock.now, before + 1)


def _claim_all(path: Place, instance: str) -> list[str]:
    store = databases.open_store(path, busy_timeout=30)
    claimed: list[str] = []
    while claims := store.claims.claim(instance, [TASK], limit=2):
        claimed += [claim.job_id for claim in claims]
    store.close()
    return claimed


def _foreign_claim_all(path: Place, _instance: str) -> list[str]:
    return foreign.claim_all(path, TASK)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Four processes of their own, as many workers would be."""
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_processes_that_claim_at_once_never_get_one_job_twice(bench: Bench, processes: ProcessPoolExecutor) -> None:
    """Three of ours and one that knows no clworker, over one queue; any lock error would come out here."""
    jobs = [f"job-{number}" for number in range(120)]
    databases.insert(bench.path, [{"job_id": job_id} for job_id in jobs])
    claimers = [
        processes.submit(_foreign_claim_all if number == 3 else _claim_all, bench.path, f"instance-{number}")
        for number in range(4)
    ]
    claimed = [job_id for claimer in claimers for job_id in claimer.result(60)]
    assert sorted(claimed) == sorted(jobs)


def test_threads_that_share_a_store_never_get_one_job_twice(bench: Bench) -> None:
    jobs = [f"job-{number}" for number in range(60)]
    databases.insert(bench.path, [{"job_id": job_id} for job_id in jobs])
    together = Barrier(3)

    def claim_all(instance: str) -> list[str]:
        together.wait(10)
        claimed: list[str] = []
        while claims := bench.store.claims.claim(instance, [TASK]):
            claimed += [claim.job_id for claim in claims]
        return claimed

    with ThreadPoolExecutor(3) as threads:
        claimed = [job_id for found in threads.map(claim_all, ["a", "b", "c"]) for job_id in found]
    assert sorted(claimed) == sorted(jobs)


def _create(path: str, rounds: int) -> list[str]:
    """Open so many new databases one after another; return what went wrong."""
    return [_opened(f"{path}-{number}") for number in range(rounds)]


def _opened(path: str) -> str:
    try:
        Store(f"sqlite:///{path}").close()
    except Exception as failure:
        return repr(failure)
    return "opened"


def test_processes_create_one_schema_at_the_same_moment(tmp_path: Path, processes: ProcessPoolExecutor) -> None:
    rounds = 4
    creators = [processes.submit(_create, str(tmp_path / "new.db"), rounds) for _ in range(4)]
    assert [creator.result(60) for creator in creators] == [["opened"] * rounds] * 4
    for number in range(rounds):
        versions = databases.rows(tmp_path / f"new.db-{number}", "SELECT version FROM clworker_schema")
        assert versions == [{"version": 1}]


def test_threads_create_one_schema_at_the_same_moment(tmp_path: Path) -> None:
    together = Barrier(4)

    def opened(path: str) -> str:
        together.wait(10)
        return _opened(path)

    with ThreadPoolExecutor(4) as threads:
        for number in range(5):
            assert list(threads.map(opened, [str(tmp_path / f"{number}.db")] * 4)) == ["opened"] * 4
