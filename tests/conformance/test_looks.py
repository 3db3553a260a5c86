"""What listings, pages and workers ask of the whole queue and of who works on it; the exchange by which they claim."""

from collections.abc import Iterator

import pytest

from clworker.core.errors import ClaimLost
from clworker.core.models.attempts import Cause, Claim, Outcome, Return
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.claims import Settlement
from tests.conformance.conftest import TASK, Bench
from tests.support.instances import Member

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"size": 1})


@pytest.fixture
def member(bench: Bench) -> Iterator[Member]:
    """A registered worker that lives."""
    member = Member(bench.home)
    assert bench.store.instances.register(member.instance, member.file) == []
    yield member
    member.die()


def test_jobs_are_looked_up_together_and_what_is_active_is_counted(bench: Bench) -> None:
    for number in range(5):
        bench.queue(f"waits-{number}", created_at=number)
    bench.queue("runs", status="processing", started_at=1)
    bench.queue("over", status="completed", task_type="zoom")
    several = bench.store.jobs.several(["waits-1", "over", "nobody's"])
    assert sorted(job.job_id for job in several) == ["over", "waits-1"]
    found, counts = bench.store.jobs.active(3)
    assert [job.job_id for job in found] == ["runs", "waits-0", "waits-1"]
    assert counts == {"processing": 1, "queued": 5}


def test_names_in_use_are_those_of_jobs_and_workers(bench: Bench, member: Member) -> None:
    bench.queue("a")
    bench.queue("b", task_type="zoom")
    assert bench.store.jobs.names_in_use() == ({TASK, "zoom"}, {member.instance.worker_id})


def test_a_survey_tells_who_lives_and_whose_name_is_taken(bench: Bench, member: Member) -> None:
    name = member.instance.worker_id
    (found,) = bench.store.instances.survey()
    assert (found.record.instance, found.record.alive, found.lock) == (member.id, True, member.file)
    assert bench.store.instances.is_name_live(name, ("another", None))
    assert not bench.store.instances.is_name_live(name, (member.id, found.record.heartbeat))
    assert not bench.store.instances.is_name_live("nobody", ("another", None))
    member.die()
    assert [found.record.alive for found in bench.store.instances.survey()] == [False]
    assert not bench.store.instances.is_name_live(name, ("another", None))


def test_one_exchange_settles_what_is_held_and_claims_the_next(bench: Bench, member: Member) -> None:
    for number in range(5):
        bench.queue(f"job-{number}", created_at=number)
    done, returned, lost = bench.store.claims.claim(member.id, [TASK], 3)
    bench.store.care.cancel([lost.job_id])

    def settled(claim: Claim, ending: Outcome | Return) -> Settlement:
        return Settlement(claim, lambda: ending)

    handed_in = [settled(done, DONE), settled(returned, Return(Cause.STOPPED)), settled(lost, DONE)]
    exchange = bench.store.claims.exchange(handed_in, member.id, [TASK], 2)
    assert list(exchange.settled[:2]) == [DONE, Return(Cause.STOPPED)]
    assert isinstance(exchange.settled[2], ClaimLost)
    assert [claim.job_id for claim in exchange.claims] == ["job-1", "job-3"]  # the one that came back, and the next
    assert [bench.row(claim.job_id)["status"] for claim in (done, lost)] == ["completed", "error"]
    assert {job.job_id for job in bench.store.jobs.last_ended_by(member.id, 10)} == {"job-0", "job-2"}
