"""Every statement of the store finds its rows by an index, over both generations of ``jobs``."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from clworker.core.errors import JobNotFound
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.requests import JobFilter, PurgeFilter
from clworker.core.store import jobs
from clworker.core.store.identity import LockFile
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.instances import new_instance

TASK = "image_resize"
INSTANCE = new_instance()
LISTED_BY_AGE = {"SCAN jobs USING INDEX ix_jobs_created_at"}
"""Newest first, until the limit is reached: a scan only by its name."""


@pytest.fixture
def store(made_database: Path) -> Iterator[Store]:
    """A store with a few hundred jobs in every status, as other programs made it."""
    statuses = ("queued", "processing", "completed", "error")
    databases.insert(
        made_database, [{"job_id": f"job-{n}", "status": statuses[n % 4], "created_at": n} for n in range(400)]
    )
    opened = Store(f"sqlite:///{made_database}")
    opened.instances.register(INSTANCE, LockFile("/nowhere", 0, 0))
    yield opened
    opened.close()


@contextmanager
def explained(store: Store) -> Iterator[dict[str, list[str]]]:
    """Collect the plan of every statement that is executed in the block."""
    plans: dict[str, list[str]] = {}

    connection = sqlite3.connect(store.database.home)

    def explain(statement: str) -> None:
        if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            plans[statement] = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]

    def trace(driver: sqlite3.Connection, _record: Any) -> None:
        driver.set_trace_callback(explain)

    sa.event.listen(store.database.engine, "connect", trace)
    store.database.close()  # so that the block begins with a connection that is traced
    try:
        yield plans
    finally:
        sa.event.remove(store.database.engine, "connect", trace)
        connection.close()


def scans(plans: dict[str, list[str]]) -> set[str]:
    steps = {step for plan in plans.values() for step in plan if step.startswith("SCAN")}
    # What the looks into the index have found, a few rows for each task type, is put together.
    return {step for step in steps if not step.startswith("SCAN type_")}


def claim_and_end(store: Store) -> None:
    claims = store.claims
    for _ in range(2):
        (claim,) = claims.claim(INSTANCE.instance, [TASK])
        claims.progress(claim, 5)
        claims.give_back(claim, Cause.STOPPED, counted=False)
    (claim,) = claims.claim(INSTANCE.instance, [TASK])
    claims.finish(claim, Outcome.failed("x"))


def rescue(store: Store) -> None:
    store.claims.claim(INSTANCE.instance, [TASK], limit=3)
    store.instances.end(INSTANCE.instance)
    store.instances.provably_dead()
    assert len(store.rescues.rescue(INSTANCE.instance)) == 3
    assert store.jobs.last_ended_by(INSTANCE.instance, 10) == []
    store.instances.end(INSTANCE.instance)
    store.instances.prune()


def look_up(store: Store) -> None:
    store.jobs.get("job-7")
    store.jobs.find("job-39")
    with pytest.raises(JobNotFound):
        store.jobs.find("job")
    store.jobs.attempts("job-7")
    store.jobs.update("job-7", progress=1)
    store.jobs.delete("job-7")


def list_by_filters(store: Store) -> None:
    store.jobs.matching(JobFilter(status="queued"))
    store.jobs.matching(JobFilter(since_ms=390))
    store.jobs.matching(JobFilter(worker_id="worker"))
    store.jobs.matching(JobFilter(status="error", task_type=TASK, since_ms=5, worker_id="worker"))


def care_and_explain(store: Store) -> None:
    store.claims.claim(INSTANCE.instance, [TASK])
    store.care.cancel(["job-0", "job-1", "job-4"])
    store.care.retry(["job-0", "job-5"], force=True)
    store.jobs.ended_since(0)


def purge(store: Store) -> None:
    store.claims.claim(INSTANCE.instance, [TASK])
    wanted = PurgeFilter(("completed", "error"), 100)
    rows = store.purges.find(wanted, None, 10)
    rows += store.purges.find(wanted, rows[-1], 10)
    assert len(store.purges.delete(rows, wanted)) == 20
    store.purges.forget(store.purges.unfinished("", 10))
    store.purges.existing(["job-1", "job-2"])


def watch(store: Store) -> None:
    active, _counts = store.jobs.active(10)
    store.jobs.several([job.job_id for job in active])


def pass_over(store: Store) -> None:
    store.claims.pass_over({"job-0", "job-4"})
    assert store.claims.any_waiting([TASK])
    assert [claim.job_id for claim in store.claims.claim(INSTANCE.instance, [TASK, "zoom"])] == ["job-8"]
    assert store.claims.still_queued(["job-0", "job-1"]) == {"job-0"}


def move(store: Store) -> None:
    first = store.transfers.page(JobFilter(), 0, 10)
    wanted = JobFilter(status="error", task_type=TASK, since_ms=5)
    jobs = [leaving.job for leaving in store.transfers.page(wanted, first[-1].row_id, 10)]
    assert store.transfers.add(jobs, skip_existing=True) == {job.job_id for job in jobs}


ACTS = [claim_and_end, rescue, look_up, list_by_filters, care_and_explain, purge, watch, pass_over, move]


@pytest.mark.parametrize("act", ACTS)
def test_nothing_is_scanned(store: Store, act: Callable[[Store], None]) -> None:
    with explained(store) as plans:
        act(store)
    assert plans
    assert scans(plans) == set()


def test_statistics_are_of_indexes_alone_but_for_the_sample(store: Store) -> None:
    with explained(store) as plans:
        store.statistics.by_task(1000)
        store.statistics.by_task(1000, since_ms=5, task_type=TASK)
    assert scans(plans) == {"SCAN jobs USING INDEX clworker_jobs_queue"}
    finished = [step for statement, plan in plans.items() if "status IN" in statement for step in plan]
    assert finished and all("clworker_jobs_finished" in step for step in finished)


def test_an_overview_scans_the_queue_alone_and_sorts_no_failures(store: Store) -> None:
    with explained(store) as plans:
        store.overviews.take()
    assert scans(plans) == {"SCAN jobs USING INDEX clworker_jobs_queue"}
    finished = [step for statement, plan in plans.items() if "status IN" in statement for step in plan]
    assert finished and all("clworker_jobs_finished" in step for step in finished)


@pytest.mark.parametrize("status", ["completed", "error", "queued"])
def test_a_list_of_one_status_sorts_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setattr(jobs, "_FEW", 10)
    with explained(store) as plans:
        found = store.jobs.matching(JobFilter(status=status, limit=3))
    newest = {"queued": 396, "completed": 398, "error": 399}[status]
    assert [job.job_id for job in found] == [f"job-{newest - 4 * n}" for n in range(3)]
    assert not [step for plan in plans.values() for step in plan if "B-TREE" in step]


@pytest.mark.parametrize("passed", [[], ["job-0"]], ids=["", "passing over one"])
def test_a_claim_probes_its_own_index_and_sorts_nothing(store: Store, passed: list[str]) -> None:
    store.claims.pass_over(passed)
    with explained(store) as plans:
        store.claims.claim(INSTANCE.instance, [TASK, "image_conversion"])
    probes = [plan for statement, plan in plans.items() if "'queued'" in statement]
    looks = [step for plan in probes for step in plan if "jobs" in step or "B-TREE" in step]
    assert set(looks) == {"SEARCH jobs USING INDEX clworker_jobs_queue (task_type=?)"}


def test_an_export_walks_the_rows_and_sorts_nothing(store: Store) -> None:
    with explained(store) as plans:
        store.transfers.page(JobFilter(status="error", task_type=TASK, since_ms=5), 7, 10)
    assert list(plans.values()) == [["SEARCH jobs USING INTEGER PRIMARY KEY (rowid>?)"]]


def test_the_proof_of_a_claim_is_two_look_ups(store: Store) -> None:
    (claim,) = store.claims.claim(INSTANCE.instance, [TASK])
    with explained(store) as plans:
        store.claims.progress(claim, 5)
    proof, update = plans.values()
    assert [re.sub(r" USING .*", "", step) for step in proof] == ["SEARCH clworker_attempts", "SEARCH jobs"]
    assert len(update) == 1 and re.fullmatch(r"SEARCH jobs USING INDEX \w+ \(job_id=\?\)", update[0])


@pytest.mark.parametrize("wanted", [JobFilter(), JobFilter(task_type=TASK)])
def test_a_list_walks_the_index_of_creation_and_sorts_nothing(store: Store, wanted: JobFilter) -> None:
    with explained(store) as plans:
        store.jobs.matching(wanted)
    assert [set(plan) for plan in plans.values()] == [LISTED_BY_AGE]
