"""A dead worker's message at the broker is removed in the end, whoever else dies meanwhile (invariant 7)."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.broker import Broker
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.support.watcher import standing
from tests.support.worker import StartWorker


@pytest.fixture
def lasting_broker(tmp_path: Path, program: Program) -> Iterator[Broker]:
    """A broker whose retained messages outlive it."""
    broker = Broker(tmp_path, persistent=True)
    program.environ.update(broker.environ)
    yield broker.start()
    broker.stop()


def registered(database: Path) -> list[str]:
    """Return the names of the instances that have not been ended."""
    rows = databases.rows(database, "SELECT worker_id FROM clworker_instances WHERE ended_at IS NULL")
    return [str(row["worker_id"]) for row in rows]


def crash(broker: Broker, folder: Path, *names: str) -> None:
    """Kill the broker once it has written down the messages of these workers."""
    saved = folder / "mosquitto.db"
    wait_until(lambda: saved.exists() and all(name.encode() in saved.read_bytes() for name in names), "it is saved")
    broker.kill()


def test_of_a_worker_whose_rescuer_died_too_while_the_broker_was_away(
    start_worker: StartWorker, plugins: PluginFolder, lasting_broker: Broker, database: Path, tmp_path: Path
) -> None:
    plugins.install_gated("gated", tmp_path / "gate")
    databases.queue(database, {"job_id": "a", "task_type": "gated"})
    victim = start_worker("-w", "worker-1", "-t", "gated")
    rescuer = start_worker("-w", "worker-2", "-t", "image_resize")
    victim.wait_for("job started")
    crash(lasting_broker, tmp_path, "worker-1", "worker-2")
    for worker in (victim, rescuer):
        worker.wait_for("MQTT broker is out of reach; jobs go on")
    victim.send(signal.SIGKILL)
    rescuer.wait_for("job of a dead worker rescued", job_id="a")
    rescuer.send(signal.SIGKILL)
    for worker in (victim, rescuer):
        worker.result()

    lasting_broker.start()
    assert set(standing(lasting_broker.port)) == {"worker-1", "worker-2"}
    heir = start_worker("-w", "worker-3", "-t", "image_resize")
    wait_until(lambda: set(standing(lasting_broker.port)) == {"worker-3"}, "the dead are forgotten")
    wait_until(lambda: registered(database) == ["worker-3"], "the dead are ended")
    assert heir.stop().code == 0


def test_once_removes_it_and_does_not_wait_for_a_broker_that_is_away(
    start_worker: StartWorker, lasting_broker: Broker, command: InProcess, database: Path, tmp_path: Path
) -> None:
    worker = start_worker("-w", "worker-1")
    crash(lasting_broker, tmp_path, "worker-1")
    worker.send(signal.SIGKILL)
    worker.result()
    alone = command.run("once")
    assert (alone.code, alone.stdout) == (0, "")
    lasting_broker.start()
    assert command.run("once").code == 0
    assert standing(lasting_broker.port) == {}
    assert registered(database) == []


def test_of_a_worker_that_was_stopped_while_the_broker_was_away(
    start_worker: StartWorker, lasting_broker: Broker, database: Path, tmp_path: Path
) -> None:
    stopped = start_worker("-w", "worker-1")
    crash(lasting_broker, tmp_path, "worker-1")
    stopped.wait_for("MQTT broker is out of reach; jobs go on")
    assert stopped.stop().code == 0
    assert stopped.logged("the broker has not confirmed that the worker's message is removed")
    lasting_broker.start()
    assert set(standing(lasting_broker.port)) == {"worker-1"}

    heir = start_worker("-w", "worker-2")
    wait_until(lambda: set(standing(lasting_broker.port)) == {"worker-2"}, "the stopped one is forgotten")
    wait_until(lambda: registered(database) == ["worker-2"], "the stopped one is ended")
    assert heir.stop().code == 0
    assert registered(database) == []
