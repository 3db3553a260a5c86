"""Of one name there is one ``clworker run``: refused, waited for, or taken over from."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder, wait_at_gate
from tests.support.processes import children_of
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker, Worker

WATCHING = "a worker of this name may still live; watching its heartbeats"


def _locks(database: Path) -> list[str]:
    return [path.name for path in (database.parent / "clworker-locks").iterdir()]


def _instances(database: Path) -> list[dict[str, Any]]:
    return databases.rows(database, "SELECT * FROM clworker_instances ORDER BY started_at, rowid")


def _causes(database: Path, job_id: str) -> list[str]:
    query = "SELECT cause FROM clworker_attempts WHERE job_id = ? ORDER BY id"
    return [row["cause"] for row in databases.rows(database, query, job_id)]


def test_a_second_worker_of_a_live_name_is_refused_but_once_is_not(
    start_worker: StartWorker, command: InProcess, database: Path
) -> None:
    first = start_worker("-w", "worker-1")
    second = start_worker.without_waiting("-w", "worker-1").result()

    assert (second.code, second.stdout) == (2, "")
    (error,) = second.errors
    assert error.startswith("worker id 'worker-1' is in use on host ")
    assert f"(pid {first.pid})" in error and "--takeover" in error
    assert len(_instances(database)) == len(_locks(database)) == 1

    assert command.run("once", "-w", "worker-1").code == 0
    assert first.stop().code == 0
    assert _locks(database) == []


def test_of_several_that_start_in_an_empty_folder_at_the_same_moment_one_wins(
    start_worker: StartWorker, database: Path
) -> None:
    workers = [start_worker.without_waiting("-w", "worker-1") for _ in range(3)]

    def ended(worker: Worker) -> bool:
        return worker.process.poll() is not None

    def decided() -> bool:
        return sum(map(ended, workers)) == 2 and any(worker.logged("worker started") for worker in workers)

    wait_until(decided, "one has started and the others have ended")
    for loser in filter(ended, workers):
        result = loser.result()
        assert result.code == 2, result.stderr
        assert "is in use" in result.errors[0]
    (winner,) = [worker for worker in workers if not ended(worker)]
    assert winner.stop().code == 0
    assert _locks(database) == []


def test_the_name_and_the_jobs_of_a_killed_worker_are_taken_over_at_once(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    databases.queue(database, {"job_id": "a", "task_type": "gated"})
    killed = start_worker("-w", "worker-1")
    wait_at_gate(gate)
    killed.send(signal.SIGKILL)
    killed.result()
    gate.touch()

    heir = start_worker("-w", "worker-1", "--poll-interval", "300")
    (job,) = heir.wait_for_jobs("a")
    assert job["retry_count"] == 1
    assert _causes(database, "a") == ["rescued", "completed"]
    assert not heir.logged(WATCHING)
    dead, _ = _instances(database)
    assert dead["ended_at"] is not None
    assert len(_locks(database)) == 1


class Stranger:
    """A worker of which nothing can be proven: it has a job, and a heart that others have to listen to."""

    def __init__(self, store: Store, folder: Path, interval: float, unprovable: str) -> None:
        self.store = store
        instance = Instance.new("worker-1", Role.RUN, interval)
        if unprovable == "another boot":
            instance = replace(instance, boot_id="another")
        with InstanceLock(folder / "media_store.db", instance) as lock:
            lock.needed_as_proof = unprovable != "lock file gone"
            self.id = instance.instance
            assert store.instances.register(instance, lock.file) == []
        assert [claim.job_id for claim in store.claims.claim(self.id, ["quick"])] == ["a"]


@pytest.fixture
def stranger(store: Store, database: Path, plugins: PluginFolder) -> Callable[[float, str], Stranger]:
    plugins.install_plain("quick", 'return {"status": "ok"}')
    databases.insert(database, [{"job_id": "a", "task_type": "quick"}])
    return lambda interval, unprovable: Stranger(store, database.parent, interval, unprovable)


def test_one_that_stays_silent_for_three_heartbeats_is_taken_for_dead(
    start_worker: StartWorker, stranger: Callable[[float, str], Stranger], database: Path
) -> None:
    silent = stranger(0.2, "another boot")
    heir = start_worker("-w", "worker-1")
    (waited,) = heir.logged(WATCHING)
    assert waited["seconds"] == pytest.approx(0.6)
    (job,) = heir.wait_for_jobs("a")
    assert job["retry_count"] == 1
    assert _causes(database, "a") == ["rescued", "completed"]
    assert not silent.store.instances.is_live(silent.id)


def test_one_whose_heart_beats_keeps_its_name(
    start_worker: StartWorker, stranger: Callable[[float, str], Stranger], database: Path
) -> None:
    alive = stranger(60, "another boot")
    late = start_worker.without_waiting("-w", "worker-1")
    late.wait_for(WATCHING)
    assert alive.store.instances.beat(alive.id)

    result = late.result()
    assert result.code == 2
    assert "worker id 'worker-1' is in use" in result.errors[0]
    assert alive.store.instances.is_live(alive.id)
    assert databases.rows(database, "SELECT status FROM jobs") == [{"status": "processing"}]


def test_a_signal_ends_the_watch(
    start_worker: StartWorker, stranger: Callable[[float, str], Stranger], database: Path
) -> None:
    unknown = stranger(60, "lock file gone")
    waiting = start_worker.without_waiting("-w", "worker-1")
    waiting.wait_for(WATCHING)

    result = waiting.stop(signal.SIGINT)
    assert (result.code, result.errors) == (0, [])
    assert [row["instance"] for row in _instances(database)] == [unknown.id]
    assert _locks(database) == []


def test_after_a_takeover_the_old_worker_ends_and_its_late_result_is_not_recorded(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    databases.queue(database, {"job_id": "a", "task_type": "gated"})
    old = start_worker("-w", "worker-1", MQTT_HEARTBEAT_INTERVAL="3600")
    wait_at_gate(gate)
    old.send(signal.SIGSTOP)

    new = start_worker("-w", "worker-1", "--takeover")
    new.wait_for("taking over from another worker of this name")
    wait_at_gate(gate, 2)
    gate.touch()  # for both slots: the old supervisor finds an outcome waiting when it wakes
    (job,) = new.wait_for_jobs("a")
    old.send(signal.SIGCONT)

    result = old.result()
    assert (result.code, result.stdout) == (2, "")
    assert result.errors == ["another worker has taken over the name 'worker-1'"]
    assert databases.rows(database, "SELECT * FROM jobs") == [job]
    assert job["retry_count"] == 0
    assert json.loads(job["output"])["pid"] in children_of(new.nursery)
    assert _causes(database, "a") == ["takeover", "completed"]
    assert [line["event"] for line in result.log if line["level"] == "warning"] == [
        "claim lost; the attempt is not recorded"
    ]
    assert new.stop().code == 0
    assert _locks(database) == []


def test_a_worker_that_lost_its_name_stops_its_running_job(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    databases.queue(database, {"job_id": "a", "task_type": "gated"})
    old = start_worker("-w", "worker-1", MQTT_HEARTBEAT_INTERVAL="0.2")
    old.wait_for("job started")

    new = start_worker("-w", "worker-1", CLWORKER_TAKEOVER="1")
    assert old.result().code == 2
    gate.touch()
    (job,) = new.wait_for_jobs("a")
    assert (job["retry_count"], _causes(database, "a")) == (0, ["takeover", "completed"])
