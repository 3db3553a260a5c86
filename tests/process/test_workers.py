"""``clworker workers``: the workers as broker and database know them, and where the two disagree."""

import csv
import io
import json
import signal
from typing import Any

import pytest

from clworker.core.store.store import Store
from tests.support.broker import ACCEPTED, Broker, mute_server
from tests.support.in_process import InProcess
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Watcher
from tests.support.workers import capability, registered

FIELDS = [
    *("worker_id", "role", "host", "pid", "started_at", "alive", "running"),
    *("capabilities", "idle_count", "timestamp", "note"),
]


def listing(command: InProcess, **changes: str | None) -> dict[str, dict[str, Any]]:
    """Return what the command says, by worker."""
    return {row["worker_id"]: row for row in command.ok("workers", "-f", "json", **changes).json}


def test_a_live_worker_is_seen_from_both_sides_and_a_killed_one_as_dead(
    seen_program: Program, command: InProcess, broker: Broker, store: Store
) -> None:
    seen_program.environ["LOG_LEVEL"] = "WARNING"
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher:
        with seen_program.start("run", "-w", "w", "-c", "3", "-t", "image_resize") as running:
            message = watcher.wait_for_state("w", 3).json
            (view,) = command.ok("workers", "-f", "json").json
            assert list(view) == FIELDS
            assert view == {
                "worker_id": "w",
                "role": "run",
                "host": view["host"],
                "pid": running.process.pid,
                "started_at": view["started_at"],
                "alive": True,
                "running": 0,
                "capabilities": ["image_resize"],
                "idle_count": 3,
                "timestamp": message["timestamp"],
                "note": None,
            }
            assert 0 <= message["timestamp"] - view["started_at"] < 60_000

            running.signal(signal.SIGKILL)
            running.process.wait()
        watcher.wait_for_state("w", None)
        wait_until(lambda: listing(command)["w"]["alive"] is False, "its processes are gone")
        dead = listing(command)["w"]
        assert dead["note"] == "dead: its lock is free, and its jobs wait for a rescuer"

        with seen_program.start("run", "-w", "w") as running:
            watcher.wait_for_state("w", 1)
            wait_until(lambda: len(command.ok("workers", "-f", "json").json) == 1, "the dead one is forgotten")
            assert listing(command)["w"]["alive"] is True
            running.signal(signal.SIGTERM)
            assert running.result().code == 0
    assert command.ok("workers", "-f", "json").json == []


def test_disagreements_are_told(seen_program: Program, command: InProcess, broker: Broker, store: Store) -> None:
    with Watcher(broker.port, "none") as watcher, registered(store, "unseen"), registered(store, "garbled"):
        with registered(store, "dead"):
            pass
        for worker_id, message in (
            ("dead", capability("dead")),
            ("foreign", capability("foreign")),
            ("garbled", b"?"),
            ("garbage", b"?"),
        ):
            watcher.publish(CAPABILITY_TOPIC + worker_id, message, retain=True)
        views = listing(command)
        alone = listing(command, BROADCAST_TYPE="noop")
    foreign = "only at the broker: a worker of another database, or a stale message (see clear-capability)"
    assert {worker_id: (view["alive"], view["note"]) for worker_id, view in views.items()} == {
        "dead": (False, "dead: its lock is free, and its jobs wait for a rescuer; its message at the broker is stale"),
        "foreign": (None, foreign),
        "garbage": (None, f"{foreign}; it is not JSON"),
        "garbled": (True, "its message at the broker is not JSON"),
        "unseen": (True, "not to be seen at the broker"),
    }
    assert {worker_id: view["note"] for worker_id, view in alone.items() if view["alive"]} == {
        "garbled": None,
        "unseen": None,
    }


@pytest.mark.parametrize("answer", [None, ACCEPTED], ids=["away", "stops-answering"])
def test_without_a_broker_the_database_is_told_and_the_exit_code_is_69(
    seen_program: Program, command: InProcess, broker: Broker, store: Store, answer: bytes | None
) -> None:
    with registered(store, "w"), mute_server(answer or b"") as server:
        if answer is None:
            broker.stop()
        else:
            seen_program.environ.update(server.environ)
        result = command.run("workers", "-f", "json")
    assert result.code == 69
    assert [(view["worker_id"], view["note"]) for view in result.json] == [("w", None)]
    assert len(result.errors) == 1 and "is out of reach: " in result.errors[0]


def test_every_format_says_the_same_and_nothing_foreign_reaches_the_terminal(
    seen_program: Program, command: InProcess, broker: Broker
) -> None:
    wild = "\x1b[31m\x9b2J\u202e\n"
    message = capability("w", capabilities=["a,b", wild], timestamp=10**30)
    with Watcher(broker.port, "none") as watcher:
        watcher.publish(f"{CAPABILITY_TOPIC}w", message, retain=True)
    outputs = {name: command.ok("workers", "-f", name).stdout for name in ("table", "jsonl", "csv")}
    view = json.loads(outputs["jsonl"])
    assert (view["capabilities"], view["timestamp"]) == (["a,b", wild], 10**30)
    (row,) = csv.DictReader(io.StringIO(outputs["csv"]))
    assert list(row) == FIELDS
    assert json.loads(row["capabilities"]) == ["a,b", wild]
    assert (row["worker_id"], row["alive"], row["idle_count"]) == ("w", "", "1")
    heading, _, line, _ = outputs["table"].split("\n")
    assert heading.split() == ["WORKER", "ROLE", "HOST", "PID", "UP", "RUNNING", "IDLE", "TASKS", "SEEN", "NOTE"]
    assert line.split()[:7] == ["w", *["-"] * 5, "1"]
    for name, output in outputs.items():
        assert not {character for character in output if not character.isprintable()} - {"\n"}, name


def test_it_needs_a_data_folder(command: InProcess) -> None:
    result = command.run("workers", CL_SERVER_DIR=None)
    assert (result.code, result.stdout, len(result.errors)) == (2, "", 1)
