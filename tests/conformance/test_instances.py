"""The register of worker instances: who has a name, who lives, and who is provably dead."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

from clworker.core.errors import ClaimLost, InstanceEnded
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.store.identity import Role
from clworker.core.store.store import Store
from tests.support import databases, foreign
from tests.support.databases import Place
from tests.support.instances import Member

NAME = "worker-1"


Join = Callable[..., Member]


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A store over each kind of database, with the tables that clworker makes."""
    opened = databases.open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def join(store: Store) -> Iterator[Join]:
    """Makes instances; what of them still lives at the end dies."""
    members: list[Member] = []

    def make(role: Role = Role.RUN, name: str = NAME, registered: bool = True) -> Member:
        members.append(Member(store.database.home, role, name))
        if registered:
            assert store.instances.register(members[-1].instance, members[-1].file) == []
        return members[-1]

    yield make
    for member in members:
        member.die()


def _rivals(store: Store, member: Member) -> list[str]:
    return [record.instance for record in store.instances.register(member.instance, member.file)]


def _is_registered(store: Store, member: Member) -> bool:
    return any(record.instance == member.id for record in store.instances.live())


def test_a_registered_instance_is_known_whole(store: Store, join: Join) -> None:
    before = time.time_ns() // 1_000_000
    member = join()
    (record,) = store.instances.live()
    assert store.instances.get(member.id) == record
    assert (record.instance, record.worker_id, record.role) == (member.id, NAME, "run")
    assert (record.pid, record.host) == (os.getpid(), member.instance.host)
    assert (record.heartbeat, record.heartbeat_interval_ms, record.running, record.alive) == (0, 30_000, 0, True)
    assert before <= record.started_at <= time.time_ns() // 1_000_000


def test_a_live_one_keeps_its_name_and_nothing_is_written_for_the_other(store: Store, join: Join) -> None:
    first, second = join(), join(registered=False)
    for _ in range(2):
        assert _rivals(store, second) == [first.id]
    assert not _is_registered(store, second)
    assert store.instances.get(second.id) is None


@pytest.mark.parametrize(
    ("role", "name"), [(Role.ONCE, NAME), (Role.LIBRARY, NAME), (Role.RUN, "worker-2"), (Role.RUN, NAME.upper())]
)
def test_other_roles_and_names_are_no_rivals_in_either_direction(
    store: Store, join: Join, role: Role, name: str
) -> None:
    join()
    other = join(role, name)
    assert _is_registered(store, other)
    assert store.instances.end(other.id)
    join(role, name)


def test_a_dead_one_is_no_rival_but_stays_for_a_rescuer(store: Store, join: Join) -> None:
    dead = join()
    dead.die()
    join()
    assert store.instances.provably_dead() == [(dead.id, dead.file)]


def test_an_ended_one_is_no_rival(store: Store, join: Join) -> None:
    ended = join()
    assert store.instances.end(ended.id)
    join()
    assert not store.instances.is_live(ended.id)


def _another_boot(member: Member, place: Place) -> None:
    databases.execute(place, "UPDATE clworker_instances SET boot_id = 'another'")


def _file_gone(member: Member, place: Place) -> None:
    os.unlink(member.file.path)


def _another_file(member: Member, place: Place) -> None:
    # Renamed, not removed: the new file must not get the old one's inode.
    os.rename(member.file.path, f"{member.file.path}-old")
    Path(member.file.path).touch()


def _another_device(member: Member, place: Place) -> None:
    databases.execute(place, "UPDATE clworker_instances SET lock_device = lock_device + 1")


@pytest.mark.parametrize("make_unprovable", [_another_boot, _file_gone, _another_file, _another_device])
@pytest.mark.parametrize("really", ["alive", "dead"])
def test_what_cannot_be_proven_is_a_rival_and_never_dead(
    store: Store, join: Join, place: Place, make_unprovable: Callable[[Member, Place], None], really: str
) -> None:
    unknown = join()
    make_unprovable(unknown, place)
    if really == "dead":
        unknown.die()
    (record,) = store.instances.live()
    assert record.alive is None
    assert _rivals(store, join(registered=False)) == [unknown.id]
    assert store.instances.provably_dead() == []


def test_a_lock_is_held_while_any_process_that_inherited_it_lives(store: Store, join: Join) -> None:
    member = join()
    inherited = os.dup(member.lock.fd)
    member.die()
    assert store.instances.provably_dead() == []
    os.close(inherited)
    assert store.instances.provably_dead() == [(member.id, member.file)]


def test_of_many_that_register_at_the_same_moment_one_gets_the_name(store: Store, join: Join, place: Place) -> None:
    candidates = [join(registered=False) for _ in range(6)]
    others: dict[str, list[str]] = {}
    together = Barrier(len(candidates))

    def register(candidate: Member) -> None:
        own = databases.open_store(place)
        together.wait(20)
        others[candidate.id] = _rivals(own, candidate)
        own.close()

    threads = [Thread(target=register, args=[candidate]) for candidate in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [name for name, rivals in others.items() if not rivals]
    assert all(rivals == [winner] for name, rivals in others.items() if name != winner)


def test_a_heartbeat_counts_until_somebody_ends_the_instance(store: Store, join: Join) -> None:
    member, other = join(), join(name="worker-2")
    assert store.instances.beat(member.id) and store.instances.beat(member.id)
    record, untouched = store.instances.get(member.id), store.instances.get(other.id)
    assert record is not None and untouched is not None
    assert (record.heartbeat, untouched.heartbeat) == (2, 0)
    assert store.instances.end(member.id)
    assert not store.instances.beat(member.id)
    assert not store.instances.beat("never registered")
    assert not store.instances.is_live("never registered")


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


def test_old_instances_are_forgotten_but_not_live_ones_nor_those_that_attempts_name(
    store: Store, join: Join, place: Place
) -> None:
    gone, named, living = join(), join(name="worker-2"), join(name="worker-3")
    databases.insert(place, [{"job_id": "a"}])
    (claim,) = store.claims.claim(named.id, ["image_resize"])
    for member in (gone, named):
        store.rescues.take_over(member.id)
    databases.execute(place, "UPDATE clworker_instances SET ended_at = 1 WHERE ended_at IS NOT NULL")

    store.instances.prune()
    left = databases.rows(place, "SELECT instance FROM clworker_instances")
    assert {row["instance"] for row in left} == {named.id, living.id}

    databases.execute(place, "UPDATE clworker_attempts SET ended_at = 1 WHERE token = ?", claim.token)
    store.instances.prune()
    left = databases.rows(place, "SELECT instance FROM clworker_instances")
    assert left == [{"instance": living.id}]
    assert databases.rows(place, "SELECT * FROM clworker_attempts") == []


def test_a_job_that_was_claimed_but_not_started_costs_no_retry(store: Store, join: Join, place: Place) -> None:
    databases.insert(place, [{"job_id": job, "created_at": number} for number, job in enumerate("abc")])
    member = join()
    first, second, _ = store.claims.claim(member.id, ["image_resize"], 3)
    member.start(first)
    member.start(second)
    member.die()
    assert {job.job_id: job.retry_count for job in store.rescues.rescue(member.id)} == {"a": 1, "b": 1, "c": 0}


@pytest.mark.parametrize("make_unprovable", [_another_boot, _file_gone, _another_file, _another_device])
def test_where_the_marks_of_starts_are_lost_every_claim_counts_as_started(
    store: Store, claimed: Member, place: Place, make_unprovable: Callable[[Member, Place], None]
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
    assert _rivals(store, join(registered=False)) == [claimed.id]


def test_a_place_that_went_to_another_cannot_be_taken_back(store: Store, join: Join) -> None:
    old, once = join(), join(Role.ONCE)
    for member in (old, once):
        assert store.instances.end(member.id)
    join()
    assert not store.instances.regain(old.id)
    assert store.instances.regain(once.id)
    assert not store.instances.regain("unheard-of")


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
