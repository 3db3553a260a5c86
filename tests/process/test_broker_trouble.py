"""A broker that is absent, dies, hangs or refuses: jobs go on, one warning says why, and the right state comes back."""

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.broker import Broker, mute_server
from tests.support.plugins import PluginFolder
from tests.support.program import Program, Result
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Watcher, standing

OUT_OF_REACH = "MQTT broker is out of reach; jobs go on"
ON_TIME = 5.0
"""Seconds for what takes two at the most on a machine with nothing else to do."""


@pytest.fixture
def worker(program: Program, plugins: PluginFolder) -> Program:
    """The program with a plugin that does nothing."""
    schema = "class Empty(BaseModel):\n    pass"
    plugins.install_task("nothing", 'return {"status": "ok", "task_output": {}}', schema="Empty", header=schema)
    program.environ.update(WORKER_SUPPORTED_TASKS="nothing", LOG_LEVEL="WARNING")
    return program


@pytest.fixture
def later(tmp_path: Path) -> Broker:
    """A broker that is not there yet."""
    return Broker(tmp_path)


def run_jobs(database: Path, prefix: str, count: int = 3) -> None:
    """Queue some jobs and wait for their ends."""
    databases.insert(database, [{"job_id": f"{prefix}-{n}", "task_type": "nothing"} for n in range(count)])
    query = "SELECT count(*) AS done FROM jobs WHERE status = 'completed' AND job_id LIKE ?"
    wait_until(lambda: databases.rows(database, query, f"{prefix}-%")[0]["done"] == count, f"the jobs {prefix} end")


def troubles(result: Result) -> list[str]:
    return [line["reason"] for line in result.log if line["event"] == OUT_OF_REACH]


def is_up(database: Path) -> None:
    """Wait until a worker has registered in the database that it makes."""

    def registered() -> bool:
        try:
            return bool(databases.rows(database, "SELECT * FROM clworker_instances WHERE ended_at IS NULL"))
        except sqlite3.OperationalError:
            return False

    wait_until(registered, "the worker has registered")


def test_a_broker_that_comes_late_dies_and_comes_back(worker: Program, database: Path, later: Broker) -> None:
    with worker.start("run", "-w", "w", **later.environ) as running:
        is_up(database)
        run_jobs(database, "early")

        later.start()
        returned = time.monotonic()
        wait_until(lambda: standing(later.port), "the birth")
        assert time.monotonic() - returned < ON_TIME
        with Watcher(later.port, f"{CAPABILITY_TOPIC}#", "cl_server") as watcher:
            watcher.wait_for_state("w", 1)
            later.kill()
            run_jobs(database, "meanwhile")
            later.start()
            returned = time.monotonic()
            watcher.is_back()
            watcher.wait_for(lambda it: len(it.capability("w")) > 1, "the second birth")
            assert time.monotonic() - returned < ON_TIME
            assert watcher.idle_counts("w")[-1] == 1
            # What happened while it was away is told late, and not lost.
            watcher.wait_for(lambda it: {e["job_id"] for e in it.events()} >= {"meanwhile-2"}, "the late events")
            run_jobs(database, "again")
            watcher.wait_for(lambda it: it.events("again-2"), "the events of now")
            running.signal(signal.SIGTERM)
            result = running.result()
            watcher.wait_for_state("w", None)
        later.stop()
    assert result.code == 0
    reasons = troubles(result)
    assert reasons[0] == "Connection refused"
    # By the time it looks again, the broker may have gone for good or be back.
    assert reasons[1:] in (["the connection broke"], ["the connection broke", "Connection refused"])
    assert len(result.log) == len(reasons)


def test_a_broker_that_never_answers(worker: Program, database: Path) -> None:
    with mute_server() as server, worker.start("run", "-w", "w", **server.environ) as running:
        is_up(database)
        run_jobs(database, "job")
        wait_until(lambda: len(server.connections) > 1, "it tries again")
        running.signal(signal.SIGTERM)
        result = running.result()
    assert result.code == 0
    assert troubles(result) == ["it accepts connections but does not answer"]
    assert [line["event"] for line in result.log] == [
        OUT_OF_REACH,
        "the broker has not confirmed that the worker's message is removed",
    ]


def resumed(broker: Broker) -> None:
    broker.resume()


def crashed(broker: Broker) -> None:
    broker.kill()
    broker.start()


@pytest.mark.parametrize("recover", [resumed, crashed])
def test_a_broker_that_hangs(
    worker: Program, database: Path, broker: Broker, recover: Callable[[Broker], None]
) -> None:
    with (
        Watcher(broker.port, f"{CAPABILITY_TOPIC}#", "cl_server") as watcher,
        worker.start("run", "-w", "w", **broker.environ) as running,
    ):
        watcher.wait_for_state("w", 1)
        broker.pause()
        run_jobs(database, "meanwhile", 30)
        recover(broker)
        watcher.is_back()
        watcher.wait_for(lambda it: it.events("meanwhile-29"), "the late events", ON_TIME)
        run_jobs(database, "after")
        watcher.wait_for(lambda it: it.events("after-2"), "the events of now")
        watcher.wait_for_state("w", 1)
        assert list(standing(broker.port)) == ["w"]
        running.signal(signal.SIGTERM)
        assert running.result().code == 0
    assert standing(broker.port) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_ends_while_the_broker_hangs_does_not_stand_there_for_ever(
    worker: Program, database: Path, broker: Broker, number: signal.Signals
) -> None:
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher:
        with worker.start("run", "-w", "w", **broker.environ) as running:
            watcher.wait_for_state("w", 1)
            broker.pause()
            run_jobs(database, "meanwhile", 30)
            running.signal(number)
            assert running.result().code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        broker.resume()
        watcher.wait_for_state("w", None)
    assert standing(broker.port) == {}


def test_once_waits_for_a_mute_broker_but_not_long(worker: Program, database: Path) -> None:
    worker.ok("jobs")  # makes the table
    databases.insert(database, [{"job_id": "job", "task_type": "nothing"}])
    with mute_server() as server:
        result = worker.ok("once", "-f", "json", **server.environ)
    assert result.json["status"] == "completed"
    assert troubles(result) == ["it does not confirm job events"]
