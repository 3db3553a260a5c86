"""The register of worker instances: who has a name, who lives, and who is provably dead."""

import os
import time
from threading import Barrier, Thread

import pytest

from clworker.core.store.identity import Role
from clworker.core.store.store import Store
from tests.conformance.instances.scene import NAME, UNPROVABLE, Join, MakeUnprovable, rivals
from tests.support import databases
from tests.support.databases import Place
from tests.support.instances import Member


def is_registered(store: Store, member: Member) -> bool:
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
        assert rivals(store, second) == [first.id]
    assert not is_registered(store, second)
    assert store.instances.get(second.id) is None


@pytest.mark.parametrize(
    ("role", "name"), [(Role.ONCE, NAME), (Role.LIBRARY, NAME), (Role.RUN, "worker-2"), (Role.RUN, NAME.upper())]
)
def test_other_roles_and_names_are_no_rivals_in_either_direction(
    store: Store, join: Join, role: Role, name: str
) -> None:
    join()
    other = join(role, name)
    assert is_registered(store, other)
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


@pytest.mark.parametrize("make_unprovable", UNPROVABLE)
@pytest.mark.parametrize("really", ["alive", "dead"])
def test_what_cannot_be_proven_is_a_rival_and_never_dead(
    store: Store, join: Join, place: Place, make_unprovable: MakeUnprovable, really: str
) -> None:
    unknown = join()
    make_unprovable(unknown, place)
    if really == "dead":
        unknown.die()
    (record,) = store.instances.live()
    assert record.alive is None
    assert rivals(store, join(registered=False)) == [unknown.id]
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
        others[candidate.id] = rivals(own, candidate)
        own.close()

    threads = [Thread(target=register, args=[candidate]) for candidate in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [name for name, found in others.items() if not found]
    assert all(found == [winner] for name, found in others.items() if name != winner)


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


def test_a_place_that_went_to_another_cannot_be_taken_back(store: Store, join: Join) -> None:
    old, once = join(), join(Role.ONCE)
    for member in (old, once):
        assert store.instances.end(member.id)
    join()
    assert not store.instances.regain(old.id)
    assert store.instances.regain(once.id)
    assert not store.instances.regain("unheard-of")


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
