"""What an operator does by hand: cancelling jobs and having them tried again, whoever holds them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clworker.core.errors import ClaimLost, JobNotFound
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.care import Action, Cared
from clworker.core.store.identity import InstanceLock
from tests.conformance.conftest import TASK, Bench
from tests.support import databases, foreign
from tests.support.clock import NOON, Clock
from tests.support.instances import Member, new_instance

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"a": 1})
FINAL = {"completed": DONE, "error": Outcome.failed("it broke")}


def cancel(bench: Bench, job_id: str = "job") -> Cared:
    (cared,) = bench.store.care.cancel([job_id])
    assert cared.job == bench.store.jobs.get(job_id)
    return cared


def retry(bench: Bench, *, force: bool = False) -> Cared:
    (cared,) = bench.store.care.retry(["job"], force=force)
    assert cared.job == bench.store.jobs.get("job")
    return cared


def causes(bench: Bench) -> list[object]:
    return [attempt["cause"] for attempt in bench.attempts()]


def assert_lost(bench: Bench, claim: Claim) -> None:
    before = bench.row()
    placed: list[str] = []
    with pytest.raises(ClaimLost):
        bench.store.claims.progress(claim, 5)
    with pytest.raises(ClaimLost):
        bench.store.claims.finish(claim, DONE, lambda: placed.append("outputs"))
    with pytest.raises(ClaimLost):
        bench.store.claims.give_back(claim, Cause.STOPPED, counted=False)
    assert (bench.row(), placed) == (before, [])


# Cancelling.


def test_a_queued_job_ends_at_once_and_is_never_claimed(bench: Bench, clock: Clock) -> None:
    bench.submit()
    clock.now += 5
    cared = cancel(bench)
    assert (cared.action, cared.note, cared.job.status, cared.job.error_message) == (
        Action.CANCELLED,
        None,
        "error",
        "cancelled",
    )
    assert (cared.job.completed_at, cared.job.started_at) == (NOON + 5, None)
    assert bench.store.claims.claim("instance-a", [TASK]) == []


def test_a_running_job_ends_and_its_holder_can_write_nothing_more(bench: Bench) -> None:
    bench.submit()
    claim = bench.claim()
    bench.store.claims.progress(claim, 30)
    cared = cancel(bench)
    assert (cared.action, cared.note) == (Action.CANCELLED, None)
    assert (cared.job.status, cared.job.progress, cared.job.error_message) == ("error", 30, "cancelled")
    assert causes(bench) == ["cancelled"]
    assert_lost(bench, claim)
    assert bench.store.rescues.rescue("instance-a") == []


def test_the_end_is_never_before_the_start(bench: Bench, clock: Clock) -> None:
    bench.submit()
    claim = bench.claim()
    clock.now -= 1_000
    assert cancel(bench).job.completed_at == claim.started_at


@pytest.mark.parametrize("resets_first", [True, False], ids=["taken from us", "never ours"])
def test_a_job_of_another_program_ends_with_a_warning(bench: Bench, clock: Clock, resets_first: bool) -> None:
    bench.submit()
    if resets_first:
        bench.claim()
        foreign.reset(bench.path, "job")
    foreign.claim(bench.path, "job", clock.now + 7)
    cared = cancel(bench)
    assert cared.action is Action.CANCELLED
    assert cared.note == "a worker of another program runs it, which may still overwrite this end"
    assert causes(bench) == (["superseded"] if resets_first else [])


@pytest.mark.parametrize("end", FINAL)
def test_what_has_ended_cannot_be_cancelled(bench: Bench, end: str) -> None:
    bench.submit()
    bench.store.claims.finish(bench.claim(), FINAL[end])
    before = bench.row()
    cared = cancel(bench)
    assert cared.action is Action.REFUSED
    assert cared.note == f"only a queued or processing job can be cancelled; this one is {end}"
    assert bench.row() == before


def test_several_at_once_are_each_dealt_with_or_none_is(bench: Bench) -> None:
    for job_id in ("a", "b", "c"):
        bench.submit(job_id)
    bench.store.claims.finish(bench.claim(), DONE)
    with pytest.raises(JobNotFound, match="nothing is changed"):
        bench.store.care.cancel(["c", "gone"])
    assert bench.row("c")["status"] == "queued"
    cared = bench.store.care.cancel(["c", "a", "b"])
    assert [(one.job.job_id, one.action) for one in cared] == [
        ("c", Action.CANCELLED),
        ("a", Action.REFUSED),
        ("b", Action.CANCELLED),
    ]


# Trying again.


def test_a_failed_job_is_queued_as_if_new_but_keeps_its_witness(bench: Bench) -> None:
    bench.queue(retry_count=3)
    claim = bench.claim()
    bench.store.claims.progress(claim, 40)
    bench.store.claims.finish(claim, Outcome(ComputeJobStatus.ERROR, Cause.DIED, {"a": 1}, "it broke"))
    cared = retry(bench)
    job = cared.job
    assert (cared.action, cared.note) == (Action.QUEUED, None)
    assert (job.status, job.progress, job.retry_count, job.started_at) == ("queued", 0, 0, claim.started_at)
    row = bench.row()
    assert [row[name] for name in (bench.result_column, "error_message", "completed_at")] == [None] * 3
    again = bench.claim("instance-b")
    assert again.started_at > claim.started_at
    assert again.older_tokens == (claim.token,)
    assert_lost(bench, claim)
    bench.store.claims.finish(again, DONE)
    assert causes(bench) == ["died", "completed"]


def test_a_cancelled_job_can_be_tried_again_while_its_old_holder_still_runs(bench: Bench) -> None:
    bench.submit()
    claim = bench.claim()
    cancel(bench)
    assert retry(bench).action is Action.QUEUED
    assert_lost(bench, claim)
    bench.claim("instance-b")
    assert_lost(bench, claim)


def test_a_queued_job_is_left_as_it_is(bench: Bench) -> None:
    bench.queue(retry_count=2)
    before = bench.row()
    cared = retry(bench, force=True)
    assert (cared.action, cared.note) == (Action.UNCHANGED, "it is queued already")
    assert bench.row() == before


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("status", ["completed", "paused"])
def test_other_states_are_refused_even_by_force(bench: Bench, status: str, force: bool) -> None:
    bench.queue(status=status)
    cared = retry(bench, force=force)
    assert cared.action is Action.REFUSED
    assert cared.note == f"only a job in error can be tried again; this one is {status}: submit it anew"


# Jobs in processing, by who holds them.


def holding(bench: Bench) -> Member:
    holder = Member(bench.home, name="ann")
    bench.store.instances.register(holder.instance, holder.file)
    holder.start(bench.claim(holder.id))
    return holder


@contextmanager
def held_by_a_live_worker(bench: Bench) -> Iterator[str]:
    holder = holding(bench)
    yield f"worker 'ann' on host .* (pid {os.getpid()}) holds it since .*Z, and lives"
    holder.die()


@contextmanager
def held_by_a_dead_worker(bench: Bench) -> Iterator[str]:
    holding(bench).die()
    yield f"worker 'ann' on host .* (pid {os.getpid()}), which is dead, holds it since .*Z"


@contextmanager
def held_by_a_worker_elsewhere(bench: Bench) -> Iterator[str]:
    instance = new_instance("ann")
    with InstanceLock(bench.home, instance) as lock:
        bench.store.instances.register(instance, lock.file)
        bench.claim(instance.instance)
        databases.execute(bench.path, "UPDATE clworker_instances SET boot_id = 'another', host = 'far'")
        yield "worker 'ann' on host far (pid .*) holds it since .*Z, and nothing here proves that it is dead"


@contextmanager
def held_by_a_worker_that_is_forgotten(bench: Bench) -> Iterator[str]:
    bench.claim("instance-a")
    yield "a worker that has ended holds it since .*Z"


@contextmanager
def held_by_another_program(bench: Bench) -> Iterator[str]:
    foreign.claim(bench.path, "job", NOON)
    yield "a worker of another program holds it since 2023-11-14T22:13:20Z; if that worker is known to be gone"


HOLDERS = {
    held_by_a_live_worker: False,
    held_by_a_worker_elsewhere: False,
    held_by_a_dead_worker: True,
    held_by_a_worker_that_is_forgotten: True,
    held_by_another_program: True,
}


@pytest.mark.parametrize(("holding", "gives_way"), HOLDERS.items(), ids=[holding.__name__ for holding in HOLDERS])
def test_a_job_in_processing_is_taken_back_by_force_only_where_no_live_worker_of_ours_holds_it(
    bench: Bench, holding: object, gives_way: bool
) -> None:
    assert callable(holding)
    bench.submit()
    with holding(bench) as told:
        before = bench.row()
        cared = retry(bench)
        assert cared.action is Action.REFUSED and cared.note is not None
        for part in told.split(".*"):
            assert part in cared.note
        assert bench.row() == before

        cared = retry(bench, force=True)
        if not gives_way:
            assert cared.action is Action.REFUSED and bench.row() == before
            assert "cancel" in (cared.note or "")
            return
        assert (cared.action, cared.job.status, cared.job.retry_count) == (Action.QUEUED, "queued", 0)
        assert set(causes(bench)) <= {"retried"}
        assert bench.claim("instance-b").started_at > int(str(before["started_at"]))
