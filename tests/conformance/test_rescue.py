"""Rescue (invariants 3 and 4): a dead instance is told from a live one by its lock, and its jobs run again."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from clworker.core.errors import StoreUnavailable
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJob
from clworker.core.store.identity import Instance, InstanceLock, LockFile, is_dead, remove, remove_strays
from clworker.core.store.store import Store
from tests.conformance.conftest import TASK, Bench
from tests.support import databases, foreign
from tests.support.clock import Clock
from tests.support.holder import held_job
from tests.support.instances import new_instance
from tests.support.waiting import wait_until

DAY = 86_400_000


def dead_instances(store: Store) -> list[str]:
    return [instance for instance, _ in store.instances.provably_dead()]


def registered(bench: Bench, worker_id: str = "worker") -> tuple[Instance, InstanceLock]:
    instance = new_instance(worker_id)
    lock = InstanceLock(bench.home, instance)
    bench.store.instances.register(instance, lock.file)
    return instance, lock


# The lock.


def test_a_lock_is_held_until_its_process_and_all_its_children_are_gone(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "media_store.db", new_instance())
    lock.needed_as_proof = True
    assert is_dead(lock.file) is False
    waiting = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, pass_fds=[lock.fd]) as child:
        lock.__exit__()
        assert is_dead(lock.file) is False
        child.kill()
    assert is_dead(lock.file) is True
    remove(lock.file)
    remove(lock.file)
    assert is_dead(lock.file) is None


def test_lock_files_of_those_who_died_before_they_registered_are_removed(bench: Bench) -> None:
    stray, starting, odd = (InstanceLock(bench.home, new_instance()) for _ in range(3))
    dead_instance, registered_lock = registered(bench)
    for lock in (stray, odd, registered_lock):
        lock.needed_as_proof = True
        lock.__exit__()
    remove(odd.file)
    os.mkdir(odd.file.path)  # nothing that cannot be opened stops it
    bench.store.instances.prune()
    left = {path.stem for path in Path(stray.file.path).parent.iterdir()}
    assert left == {Path(lock.file.path).stem for lock in (starting, odd, registered_lock)}
    assert dead_instances(bench.store) == [dead_instance.instance]
    starting.__exit__()


def test_two_that_look_at_once_do_not_take_each_other_for_the_owner(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "media_store.db", new_instance())
    lock.needed_as_proof = True
    lock.__exit__()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(is_dead, [lock.file] * 200)) == [True] * 200


@pytest.mark.parametrize("needed", [True, False])
def test_the_file_stays_only_where_it_is_needed_as_proof(tmp_path: Path, needed: bool) -> None:
    with InstanceLock(tmp_path / "media_store.db", new_instance()) as lock:
        lock.needed_as_proof = needed
    assert Path(lock.file.path).exists() is needed


def test_another_file_in_its_place_proves_nothing(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "media_store.db", new_instance())
    path = Path(lock.file.path)
    path.rename(path.with_suffix(".old"))  # keeps the inode in use
    path.touch()
    assert is_dead(lock.file) is None
    path.unlink()
    path.mkdir()
    assert is_dead(lock.file) is None
    assert is_dead(LockFile(f"{path}/none/such", 0, 0)) is None
    os.close(lock.fd)


def test_a_folder_that_takes_no_lock_file_is_the_stores_trouble(tmp_path: Path) -> None:
    (tmp_path / "clworker-locks").touch()
    with pytest.raises(
        StoreUnavailable, match=f"cannot lock {tmp_path}/clworker-locks/.*: (Not a directory|File exists)"
    ):
        InstanceLock(tmp_path / "media_store.db", new_instance())


# Who is dead.


@pytest.mark.parametrize("child", [False, True], ids=["alone", "with a child"])
def test_the_job_of_a_killed_process_is_rescued_once_nothing_of_it_runs(bench: Bench, child: bool) -> None:
    bench.submit()
    with held_job(bench.store, "victim", TASK, child=child) as victim:
        assert bench.row()["status"] == "processing"
        assert dead_instances(bench.store) == []
        victim.kill()
        assert dead_instances(bench.store) == ([] if child else [victim.instance])
        assert victim.process.stdin is not None
        victim.process.stdin.close()
        wait_until(lambda: dead_instances(bench.store) == [victim.instance], "the victim is known to be dead")
    (job,) = bench.store.rescues.rescue(victim.instance)
    assert (job.job_id, job.status, job.progress, job.retry_count) == ("job", "queued", 0, 1)
    assert bench.attempts()[0]["cause"] == "rescued"
    assert bench.store.instances.end(victim.instance)
    assert dead_instances(bench.store) == []
    assert bench.claim("rescuer").attempt == 2


@pytest.mark.parametrize("column", ["boot_id", "lock_path", "lock_inode", "lock_device"])
def test_what_this_machine_cannot_prove_is_left_for_heartbeats(bench: Bench, column: str) -> None:
    _, lock = registered(bench)
    lock.needed_as_proof = True
    lock.__exit__()
    assert len(dead_instances(bench.store)) == 1
    databases.execute(bench.path, f"UPDATE clworker_instances SET {column} = '7'")
    assert dead_instances(bench.store) == []


def test_a_restart_under_the_same_name_is_not_taken_for_the_dead_one(bench: Bench) -> None:
    bench.submit("first")
    former, lock = registered(bench)
    bench.claim(former.instance)
    lock.needed_as_proof = True
    lock.__exit__()
    bench.submit("second")
    restarted, held = registered(bench)
    bench.claim(restarted.instance)
    assert dead_instances(bench.store) == [former.instance]
    assert [job.job_id for job in bench.store.rescues.rescue(former.instance)] == ["first"]
    assert (bench.row("first")["status"], bench.row("second")["status"]) == ("queued", "processing")
    held.__exit__()


# What becomes of its jobs.


def rescue(bench: Bench, claim: Claim) -> ComputeJob:
    (job,) = bench.store.rescues.rescue("instance-a")
    assert job == bench.store.jobs.get(claim.job_id)
    return job


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_a_job_is_tried_once_more_than_its_retries_and_then_ends_in_error(bench: Bench, max_retries: int) -> None:
    bench.submit(max_retries=max_retries)
    for attempt in range(1, max_retries + 1):
        job = rescue(bench, bench.claim())
        assert (job.status, job.retry_count, job.error_message, job.completed_at) == ("queued", attempt, None, None)
    claim = bench.claim()
    bench.store.claims.progress(claim, 30)
    job = rescue(bench, claim)
    total = max_retries + 1
    assert (job.status, job.retry_count, job.progress) == ("error", max_retries, 30)
    assert job.error_message == f"the worker died while it ran the job, attempt {total} of {total}"
    assert job.completed_at is not None and job.completed_at >= claim.started_at
    assert [attempt["cause"] for attempt in bench.attempts()] == ["rescued"] * total
    assert bench.store.claims.claim("instance-b", [TASK]) == []


def test_a_job_that_never_reached_a_slot_costs_no_retry(bench: Bench) -> None:
    bench.submit(max_retries=0)
    claim = bench.claim()
    databases.execute(bench.path, "UPDATE clworker_attempts SET handed_at = NULL")
    job = rescue(bench, claim)
    assert (job.status, job.retry_count) == ("queued", 0)


def test_all_jobs_of_the_dead_are_rescued_and_no_others(bench: Bench) -> None:
    for job_id in ("mine", "mine too", "reset", "foreign", "done", "deleted", "another's"):
        bench.submit(job_id)
    claims = {claim.job_id: claim for claim in bench.store.claims.claim("instance-a", [TASK], limit=6)}
    bench.claim("instance-b")
    foreign.reset(bench.path, "reset")
    foreign.reset(bench.path, "foreign")
    foreign.claim(bench.path, "foreign", claims["foreign"].started_at + 1)
    bench.store.claims.finish(claims["done"], Outcome.failed("x"))
    foreign.delete(bench.path, "deleted")
    before = databases.rows(bench.path, "SELECT * FROM jobs WHERE job_id NOT LIKE 'mine%'")

    assert [job.job_id for job in bench.store.rescues.rescue("instance-a")] == ["mine", "mine too"]

    assert databases.rows(bench.path, "SELECT * FROM jobs WHERE job_id NOT LIKE 'mine%'") == before
    open_claims = databases.rows(bench.path, "SELECT job_id FROM clworker_attempts WHERE ended_at IS NULL")
    assert open_claims == [{"job_id": "another's"}]
    assert bench.store.rescues.rescue("instance-a") == []


def test_of_two_rescuers_one_rescues(bench: Bench) -> None:
    for number in range(20):
        bench.submit(f"job-{number}")
    bench.store.claims.claim("instance-a", [TASK], limit=20)
    together = Barrier(2)

    def rescue_all(_: int) -> list[ComputeJob]:
        together.wait(10)
        return bench.store.rescues.rescue("instance-a")

    with ThreadPoolExecutor(2) as threads:
        rescued = [job for found in threads.map(rescue_all, range(2)) for job in found]
    assert len(rescued) == 20
    assert databases.rows(bench.path, "SELECT DISTINCT retry_count FROM jobs") == [{"retry_count": 1}]


# The register.


def test_an_instance_cannot_end_while_a_claim_of_it_is_open(bench: Bench) -> None:
    """Its rescuer looks only at instances that never ended."""
    instance, lock = registered(bench)
    bench.submit()
    claim = bench.claim(instance.instance)
    assert not bench.store.instances.end(instance.instance)
    assert databases.rows(bench.path, "SELECT ended_at FROM clworker_instances") == [{"ended_at": None}]
    bench.store.claims.give_back(claim, Cause.STOPPED, counted=False)
    assert bench.store.instances.end(instance.instance)
    assert not bench.store.instances.end("unheard-of")
    lock.__exit__()


def test_what_ended_long_ago_is_forgotten_and_nothing_else(bench: Bench, clock: Clock) -> None:
    lock = LockFile("/nowhere", 0, 0)
    old, busy, recent = (new_instance(name) for name in ("old", "busy", "recent"))
    for instance in (old, busy):
        bench.store.instances.register(instance, lock)
        bench.submit(f"job of {instance.worker_id}")
        bench.claim(instance.instance)
    foreign.delete(bench.path, "job of old")
    bench.store.rescues.rescue(old.instance)
    assert bench.store.instances.end(old.instance)
    clock.now += 30 * DAY
    bench.store.instances.prune()
    assert len(databases.rows(bench.path, "SELECT * FROM clworker_instances")) == 2
    bench.store.instances.register(recent, lock)
    assert bench.store.instances.end(recent.instance)

    clock.now += 1
    bench.store.instances.prune()

    kept = databases.rows(bench.path, "SELECT worker_id FROM clworker_instances ORDER BY worker_id")
    assert [row["worker_id"] for row in kept] == ["busy", "recent"]
    assert (len(bench.attempts("job of busy")), bench.attempts("job of old")) == (1, [])


def test_who_looks_for_stray_files_never_makes_a_dead_instance_seem_to_live(bench: Bench) -> None:
    lock = registered(bench)[1]
    lock.needed_as_proof = True
    lock.__exit__()
    seen: list[bool | None] = []

    def is_registered(_instance: str) -> bool:
        seen.append(is_dead(lock.file))
        return True

    remove_strays(bench.home, is_registered)
    assert seen == [True]
