"""What becomes of the jobs that an instance holds: when it ends, dies, falls silent or is taken over."""

import pytest

from clworker.core.errors import ClaimLost, InstanceEnded
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.store.store import Store
from tests.conformance.instances.scene import UNPROVABLE, Join, MakeUnprovable, rivals
from tests.support import databases, foreign
from tests.support.databases import Place
from tests.support.instances import Member


@pytest.fixture
def claimed(store: Store, join: Join, place: Place) -> Member:
    """A registered instance that has a claim on job ``a``."""
    databases.insert(place, [{"job_id": "a"}])
    member = join()
    (claim,) = store.claims.claim(member.id, ["image_resize"])
    member.start(claim)
    return member


def test_an_instance_with_an_open_claim_cannot_end_before_it_is_rescued(store: Store, claimed: Member) -> None:
    assert not store.instances.end(claimed.id)
    (record,) = store.instances.live()
    assert record.running == 1
    claimed.die()
    (job,) = store.rescues.rescue(claimed.id)
    assert (job.job_id, job.status, job.retry_count) == ("a", "queued", 1)
    assert store.instances.end(claimed.id)
    assert store.instances.live() == []


def test_a_takeover_frees_jobs_uncounted_and_shuts_the_old_instance_out(store: Store, join: Join, place: Place) -> None:
    databases.insert(place, [{"job_id": job, "created_at": number} for number, job in enumerate("abc")])
    old = join()
    claims = store.claims.claim(old.id, ["image_resize"], 2)
    store.claims.progress(claims[0], 40)
    assert sorted(job.job_id for job in store.rescues.take_over(old.id)) == ["a", "b"]
    assert not store.instances.is_live(old.id)
    assert not store.instances.beat(old.id)
    rows = databases.rows(place, "SELECT status, progress, retry_count FROM jobs")
    assert rows == [{"status": "queued", "progress": 0, "retry_count": 0}] * 3
    causes = databases.rows(place, "SELECT cause FROM clworker_attempts WHERE ended_at IS NOT NULL")
    assert causes == [{"cause": "takeover"}] * 2

    with pytest.raises(InstanceEnded):
        store.claims.claim(old.id, ["image_resize"])
    for claim in claims:
        with pytest.raises(ClaimLost):
            store.claims.give_back(claim, Cause.STOPPED, counted=False)
    new = join()
    assert [claim.job_id for claim in store.claims.claim(new.id, ["image_resize"], 5)] == ["a", "b", "c"]
    assert store.rescues.take_over(old.id) == []


def test_a_job_that_was_claimed_but_not_started_costs_no_retry(store: Store, join: Join, place: Place) -> None:
    databases.insert(place, [{"job_id": job, "created_at": number} for number, job in enumerate("abc")])
    member = join()
    first, second, _ = store.claims.claim(member.id, ["image_resize"], 3)
    member.start(first)
    member.start(second)
    member.die()
    assert {job.job_id: job.retry_count for job in store.rescues.rescue(member.id)} == {"a": 1, "b": 1, "c": 0}


@pytest.mark.parametrize("make_unprovable", UNPROVABLE)
def test_where_the_marks_of_starts_are_lost_every_claim_counts_as_started(
    store: Store, claimed: Member, place: Place, make_unprovable: MakeUnprovable
) -> None:
    databases.insert(place, [{"job_id": "b"}])
    store.claims.claim(claimed.id, ["image_resize"])
    make_unprovable(claimed, place)
    assert {job.job_id: job.retry_count for job in store.rescues.rescue(claimed.id)} == {"a": 1, "b": 1}


def test_one_whose_heart_beats_after_all_is_not_rescued(store: Store, claimed: Member) -> None:
    (record,) = store.instances.live()
    assert store.instances.beat(claimed.id)
    assert store.rescues.rescue(claimed.id, record.heartbeat) == []
    assert not store.instances.end(claimed.id, record.heartbeat)
    assert store.rescues.rescue("unheard-of", 0) == []
    (job,) = store.rescues.rescue(claimed.id, record.heartbeat + 1)
    assert job.job_id == "a"
    assert store.instances.end(claimed.id, record.heartbeat + 1)


def test_one_that_was_given_up_takes_back_its_place_but_not_its_job(store: Store, join: Join, claimed: Member) -> None:
    store.rescues.rescue(claimed.id, 0)
    assert store.instances.end(claimed.id, 0)
    assert not store.instances.beat(claimed.id)
    assert store.instances.regain(claimed.id)
    assert store.instances.regain(claimed.id)  # whoever of it asks twice has it still
    assert store.instances.beat(claimed.id)
    assert store.claims.held(claimed.id) == frozenset()
    assert rivals(store, join(registered=False)) == [claimed.id]


def test_the_claims_that_are_still_held_are_told(store: Store, join: Join, place: Place) -> None:
    databases.insert(place, [{"job_id": job} for job in ("mine", "reset", "deleted", "done", "another's")])
    member, other = join(), join(name="worker-2")
    claims = {claim.job_id: claim for claim in store.claims.claim(member.id, ["image_resize"], 4)}
    store.claims.claim(other.id, ["image_resize"])
    assert store.claims.held(member.id) == {claim.token for claim in claims.values()}
    foreign.reset(place, "reset")
    foreign.delete(place, "deleted")
    store.claims.finish(claims["done"], Outcome.failed("x"))
    assert store.claims.held(member.id) == {claims["mine"].token}
    store.claims.abandon(claims["reset"])
    assert databases.rows(place, "SELECT status FROM jobs WHERE job_id = 'reset'") == [{"status": "queued"}]
    (attempt,) = databases.rows(place, "SELECT cause FROM clworker_attempts WHERE job_id = 'reset'")
    assert attempt["cause"] == "superseded"
