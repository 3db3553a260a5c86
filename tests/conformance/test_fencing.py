"""The fence (invariant 2): once a claim is lost, its holder changes neither row nor file, however it was lost."""

from collections.abc import Callable

import pytest

from clworker.core.errors import ClaimLost
from clworker.core.models.attempts import Cause, Claim, Death, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from tests.conformance.conftest import Bench
from tests.support import databases, foreign
from tests.support.clock import Clock

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"by": "us"})


def reset_by_hand(bench: Bench, claim: Claim) -> None:
    foreign.reset(bench.path, "job")


def reset_with_its_time(bench: Bench, claim: Claim) -> None:
    foreign.reset(bench.path, "job", started_at="NULL")


def claimed_by_a_foreign_program(bench: Bench, claim: Claim) -> None:
    foreign.reset(bench.path, "job", started_at="NULL")
    foreign.claim(bench.path, "job", claim.started_at + 1)


def claimed_by_a_foreign_program_whose_clock_is_behind(bench: Bench, claim: Claim) -> None:
    foreign.reset(bench.path, "job")
    foreign.claim(bench.path, "job", claim.started_at - 60_000)


def completed_by_a_foreign_program(bench: Bench, claim: Claim) -> None:
    claimed_by_a_foreign_program(bench, claim)
    foreign.complete(bench.path, "job")


def ended_by_hand(bench: Bench, claim: Claim) -> None:
    databases.execute(bench.path, "UPDATE jobs SET status = 'error', error_message = 'cancelled'")


def claimed_by_another_instance(bench: Bench, claim: Claim) -> None:
    foreign.reset(bench.path, "job", started_at="NULL")
    bench.claim("instance-b")


def deleted_by_hand(bench: Bench, claim: Claim) -> None:
    foreign.delete(bench.path, "job")


def deleted_through_the_store(bench: Bench, claim: Claim) -> None:
    bench.store.jobs.delete("job")


def created_again(bench: Bench, claim: Claim) -> None:
    foreign.delete(bench.path, "job")
    bench.queue()


def created_again_and_claimed(bench: Bench, claim: Claim) -> None:
    created_again(bench, claim)
    bench.claim("instance-b")


def created_again_by_the_store_and_claimed_by_the_same_instance(bench: Bench, claim: Claim) -> None:
    bench.store.jobs.delete("job")
    bench.submit()
    bench.claim()


def rescued(bench: Bench, claim: Claim) -> None:
    bench.store.rescues.rescue("instance-a")


def rescued_and_claimed(bench: Bench, claim: Claim) -> None:
    bench.store.rescues.rescue("instance-a")
    bench.claim("instance-b")


def given_back(bench: Bench, claim: Claim) -> None:
    bench.store.claims.give_back(claim, Cause.STOPPED, counted=False)


def finished(bench: Bench, claim: Claim) -> None:
    bench.store.claims.finish(claim, DONE)


LOSSES = [
    reset_by_hand,
    reset_with_its_time,
    claimed_by_a_foreign_program,
    claimed_by_a_foreign_program_whose_clock_is_behind,
    completed_by_a_foreign_program,
    ended_by_hand,
    claimed_by_another_instance,
    deleted_by_hand,
    deleted_through_the_store,
    created_again,
    created_again_and_claimed,
    created_again_by_the_store_and_claimed_by_the_same_instance,
    rescued,
    rescued_and_claimed,
    given_back,
    finished,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_late_holder_changes_nothing(bench: Bench, clock: Clock, lose: Callable[[Bench, Claim], None]) -> None:
    """The clock stands still, as it does for two claims within one millisecond."""
    bench.submit()
    claim = bench.claim()
    lose(bench, claim)
    after = (bench.row(), bench.attempts())
    placed: list[str] = []
    claims = bench.store.claims
    late: list[Callable[[], None]] = [
        lambda: claims.progress(claim, 50),
        lambda: claims.amend(claim, error_message="late"),
        lambda: claims.finish(claim, DONE, lambda: placed.append("output")),
        lambda: claims.finish(claim, Outcome.failed("late"), lambda: placed.append("output")),
        lambda: claims.give_back(claim, Cause.STOPPED, counted=False),
        lambda: claims.give_back(claim, Cause.DIED, counted=True, death=Death(signal=9)),
    ]
    for act in late:
        with pytest.raises(ClaimLost, match="the claim on job job is gone"):
            act()
    assert (bench.row(), bench.attempts()) == after
    assert placed == []


def test_the_holder_records_its_outcome_and_closes_its_attempt(bench: Bench, clock: Clock) -> None:
    bench.submit()
    claim = bench.claim()
    clock.now += 5
    bench.store.claims.progress(claim, 50)
    assert (bench.row()["progress"], bench.row()["status"]) == (50, "processing")
    clock.now += 5
    bench.store.claims.finish(claim, Outcome(DONE.status, DONE.cause, DONE.output, death=Death(peak_memory_kib=2048)))
    job = bench.store.jobs.get("job")
    assert job is not None
    assert (job.status, job.progress, job.output, job.error_message) == ("completed", 100, {"by": "us"}, None)
    assert (job.started_at, job.completed_at, job.retry_count) == (claim.started_at, clock.now, 0)
    assert job.updated_at == (clock.now if bench.has_priority else None)
    (attempt,) = bench.attempts()
    assert (attempt["cause"], attempt["ended_at"], attempt["peak_memory_kib"]) == ("completed", clock.now, 2048)


def test_a_failure_keeps_the_progress_that_was_reached(bench: Bench) -> None:
    bench.submit()
    claim = bench.claim()
    bench.store.claims.progress(claim, 50)
    bench.store.claims.finish(claim, Outcome.failed("it failed", Cause.TIME_LIMIT, Death(signal=9)))
    row = bench.row()
    assert (row["status"], row["progress"], row["error_message"]) == ("error", 50, "it failed")
    (attempt,) = bench.attempts()
    assert (attempt["cause"], attempt["signal"]) == ("time-limit", 9)


@pytest.mark.parametrize("counted", [True, False])
def test_a_returned_job_is_queued_again_and_keeps_its_witness(bench: Bench, counted: bool) -> None:
    bench.submit()
    claim = bench.claim()
    bench.store.claims.progress(claim, 50)
    bench.store.claims.give_back(claim, Cause.DIED, counted=counted, death=Death(exit_code=3))
    row = bench.row()
    assert (row["status"], row["progress"], row["retry_count"]) == ("queued", 0, int(counted))
    again = bench.claim("instance-b")
    assert again.started_at > claim.started_at
    assert (again.attempt, again.older_tokens) == (1 + counted, (claim.token,))
    assert [(attempt["cause"], attempt["exit_code"]) for attempt in bench.attempts()] == [("died", 3), (None, None)]


@pytest.mark.parametrize("failure", [OSError("disk"), ClaimLost(), KeyboardInterrupt()], ids=repr)
def test_outputs_that_cannot_be_placed_undo_the_outcome(bench: Bench, failure: BaseException) -> None:
    bench.submit()
    claim = bench.claim()
    before = (bench.row(), bench.attempts())

    def place() -> None:
        raise failure

    with pytest.raises(type(failure)):
        bench.store.claims.finish(claim, DONE, place)
    assert (bench.row(), bench.attempts()) == before
    bench.store.claims.finish(claim, DONE)
    assert bench.row()["status"] == "completed"


def test_nobody_else_can_take_the_job_while_its_outputs_are_placed(bench: Bench) -> None:
    """Readers see the job still running; writers have to wait for the commit."""
    bench.submit()
    seen: list[object] = []

    def place() -> None:
        seen.append(bench.row()["status"])
        try:
            databases.execute_at_once(bench.path, "UPDATE jobs SET status = 'queued'")
        except databases.LOCKED:
            seen.append("locked")

    bench.store.claims.finish(bench.claim(), DONE, place)
    assert seen == ["processing", "locked"]
    assert bench.row()["status"] == "completed"


@pytest.mark.parametrize("ahead", [1, 3_600_000, 10**15])
def test_times_keep_their_order_when_the_clock_goes_back(bench: Bench, clock: Clock, ahead: int) -> None:
    """The last claim was made by a clock that ran ahead of ours."""
    bench.queue(started_at=clock.now + ahead)
    claim = bench.claim()
    assert claim.started_at == clock.now + ahead + 1
    clock.now -= 1_000
    bench.store.claims.progress(claim, 10)
    bench.store.claims.give_back(claim, Cause.STOPPED, counted=False)
    claim = bench.claim()
    assert claim.started_at == clock.now + 1_000 + ahead + 2
    bench.store.claims.finish(claim, DONE)
    job = bench.store.jobs.get("job")
    assert job is not None and (job.completed_at, job.seconds) == (claim.started_at, 0)
