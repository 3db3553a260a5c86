"""A worker's whole life as another MQTT client sees it."""

import json
import signal
import time
from contextlib import ExitStack
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.broker import Broker
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Seen, Watcher, standing

TOPICS = (f"{CAPABILITY_TOPIC}#", "cl_server")
WHILE_A_FILE_STANDS = """
    while not Path(params.gate).exists():
        await asyncio.sleep(0.005)
    return {"status": "ok", "task_output": {}}
"""
NO_PARAMS = """
class Empty(BaseModel):
    pass
"""
GATE = """
class Params(BaseModel):
    gate: str
"""


@pytest.fixture
def worker(seen_program: Program, plugins: PluginFolder) -> Program:
    """The program with two plugins: one does nothing, one runs until a file appears."""
    plugins.install_task("nothing", 'return {"status": "ok", "task_output": {}}', schema="Empty", header=NO_PARAMS)
    plugins.install_task("gated", WHILE_A_FILE_STANDS, schema="Params", header=GATE)
    seen_program.environ.update(WORKER_SUPPORTED_TASKS="nothing,gated", LOG_LEVEL="WARNING")
    return seen_program


def check_capability(message: Seen, worker_id: str) -> None:
    """Hold a message against the contract, to the last field."""
    fields = message.json
    assert fields == {
        "id": worker_id,
        "worker_id": worker_id,
        "capabilities": ["gated", "nothing"],
        "idle_count": fields["idle_count"],
        "timestamp": fields["timestamp"],
    }
    assert type(fields["idle_count"]) is int and type(fields["timestamp"]) is int
    assert 0 <= message.wall_ms - fields["timestamp"] < 60_000


def shows(watcher: Watcher, task_types: list[str]) -> Seen | None:
    """Return the first message that names just these tasks."""
    told = [message for message in watcher.capability("w") if message.payload]
    return next((message for message in told if message.json["capabilities"] == task_types), None)


def jobs(count: int, prefix: str = "job", **values: object) -> list[dict[str, object]]:
    """Rows of jobs that do nothing."""
    return [{"job_id": f"{prefix}-{number}", "task_type": "nothing", **values} for number in range(count)]


def test_a_whole_life(worker: Program, broker: Broker, database: Path) -> None:
    with Watcher(broker.port, *TOPICS) as watcher:
        with worker.start("run", "-w", "w", "-c", "2") as running:
            watcher.wait_for_state("w", 2)
            begun = time.monotonic()
            databases.insert(database, jobs(50))
            watcher.wait_for(
                lambda it: len([e for e in it.events() if e["event_type"] == "completed"]) == 50, "50 ends"
            )
            watcher.wait_for_state("w", 2)
            took = time.monotonic() - begun
            for number in range(50):
                events = watcher.events(f"job-{number}")
                assert [event["event_type"] for event in events if event["event_type"] != "processing"] == ["completed"]
                assert {type(event.pop("timestamp")) for event in events} == {int}
                assert events[-1] == {"job_id": f"job-{number}", "event_type": "completed", "progress": 100}
            # One message each 100 ms is the most, however many jobs come and go.
            assert len(watcher.capability("w")) <= took / 0.1 + 3

            before = len(watcher.capability("w"))
            broker.kill()
            broker.start()
            watcher.is_back()
            watcher.wait_for(lambda it: len(it.capability("w")) > before, "the birth after the broker's crash")
            assert watcher.idle_counts("w")[-1] == 2
            assert list(standing(broker.port)) == ["w"]

            running.signal(signal.SIGKILL)
            watcher.wait_for_state("w", None)
            assert standing(broker.port) == {}

        with worker.start("run", "-w", "w") as running:
            watcher.wait_for_state("w", 1)
            running.signal(signal.SIGTERM)
            stopped = running.result()
            watcher.wait_for_state("w", None)
        assert (stopped.code, stopped.stdout, stopped.stderr) == (0, "", "")
        assert standing(broker.port) == {}

    for message in watcher.capability("w"):
        if message.payload:
            check_capability(message, "w")
    counts = watcher.idle_counts("w")
    assert counts[0] == 2 and counts[-1] is None and counts.count(None) == 2
    assert all(message.topic in ("cl_server", f"{CAPABILITY_TOPIC}w") for message in watcher.seen)
    assert not any(message.retain for message in watcher.on("cl_server"))


def test_idle_count_is_the_number_of_free_slots(
    worker: Program, broker: Broker, database: Path, tmp_path: Path
) -> None:
    gates = [tmp_path / f"gate-{number}" for number in range(3)]
    with Watcher(broker.port, *TOPICS) as watcher, worker.start("run", "-w", "w", "-c", "2") as running:
        for number, expected in ((None, 2), (0, 1), (1, 0), (2, 0)):
            if number is not None:
                row = {"job_id": f"job-{number}", "task_type": "gated", "params": {"gate": str(gates[number])}}
                databases.insert(database, [row])
            watcher.wait_for_state("w", expected)
        gates[0].touch()
        watcher.wait_for(lambda it: it.events("job-2"), "the third job starts in the slot of the first")
        watcher.wait_for_state("w", 0)  # a busy machine may have told of the slot as free in between
        gates[1].touch()
        watcher.wait_for_state("w", 1)

        running.signal(signal.SIGTERM)  # while it drains, it takes nothing more
        watcher.wait_for_state("w", 0)
        gates[2].touch()
        assert running.result().code == 0
        watcher.wait_for_state("w", None)
        assert [event["event_type"] for event in watcher.events("job-2")] == ["processing", "completed"]
        # The clearing is the last that is heard, and comes once the last job's end is told.
        assert watcher.seen[-1].payload == b""
    assert standing(broker.port) == {}


def test_heartbeats_come_without_any_change(worker: Program, broker: Broker) -> None:
    with (
        Watcher(broker.port, *TOPICS) as watcher,
        worker.start("run", "-w", "w", MQTT_HEARTBEAT_INTERVAL="0.2") as running,
    ):
        watcher.wait_for(lambda it: len(it.capability("w")) >= 5, "five heartbeats")
        stamps = [message.json["timestamp"] for message in watcher.capability("w")]
        assert all(later - earlier >= 190 for earlier, later in pairwise(stamps))
        running.signal(signal.SIGTERM)
        assert running.result().code == 0
        watcher.wait_for_state("w", None)
        assert watcher.seen[-1].payload == b""


def test_a_takeover_leaves_the_new_worker_standing(
    worker: Program, broker: Broker, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with Watcher(broker.port, *TOPICS) as watcher, worker.start("run", "-w", "w", "-t", "gated") as old:
        watcher.wait_for_state("w", 1)
        databases.insert(database, [{"job_id": "held", "task_type": "gated", "params": {"gate": str(gate)}}])
        watcher.wait_for(lambda it: it.events("held"), "the old one has begun the job")
        with worker.start("run", "-w", "w", "-t", "nothing", "--takeover") as new:
            ended = old.result()
            assert (ended.code, ended.errors) == (2, ["another worker has taken over the name 'w'"])
            birth = watcher.wait_for(lambda it: shows(it, ["nothing"]), "the new one is born")
            assert birth is not None
            born = watcher.seen.index(birth)
            # The old one may have told of its own part, but of no other end than this.
            watcher.wait_for(lambda it: it.events("held")[-1]["event_type"] == "queued", "the job is free again")
            assert {event["event_type"] for event in watcher.events("held")} == {"processing", "queued"}

            databases.insert(database, [{"job_id": "next", "task_type": "nothing"}])
            watcher.wait_for(lambda it: it.events("next"), "the new one works")
            assert all(message.payload for message in watcher.seen[born:]), "the old one has cleared"
            # It has a Will of its own, although it had jobs to tell of before it appeared.
            new.signal(signal.SIGKILL)
            watcher.wait_for_state("w", None)
    assert standing(broker.port) == {}


def idle_counts(broker: Broker) -> dict[str, int]:
    return {name: json.loads(text)["idle_count"] for name, text in standing(broker.port).items()}


def test_after_every_kill_and_restart_the_right_state_stands(worker: Program, broker: Broker) -> None:
    """Several workers at a time, each killed as soon as it is born, and restarted under its name."""
    names = ["w1", "w2", "w3"]
    with Watcher(broker.port, *TOPICS) as watcher, ExitStack() as stack:
        for round_number in range(1, 4):
            slots = 1 + round_number % 2
            started = [stack.enter_context(worker.start("run", "-w", name, "-c", str(slots))) for name in names]
            for name in names:
                watcher.wait_for_state(name, slots)
            wait_until(lambda: idle_counts(broker).keys() == set(names), "all are seen")
            assert idle_counts(broker) == dict.fromkeys(names, slots)
            for running in started:
                running.signal(signal.SIGKILL)
            for name in names:
                watcher.wait_for_state(name, None)
            assert standing(broker.port) == {}
            for running in started:
                running.result()
        for name in names:
            # A rescuer clears what a dead worker may have left, even while its heir comes, which then says it again.
            told = [count for count, _ in groupby(count for count in watcher.idle_counts(name) if count is not None)]
            assert told == [2, 1, 2]


def test_a_rescuer_clears_what_a_crashed_broker_has_kept(
    program: Program, plugins: PluginFolder, tmp_path: Path
) -> None:
    broker = Broker(tmp_path, persistent=True).start()
    program.environ.update(broker.environ)
    try:
        with program.start("run", "-w", "dead") as dead, program.start("run", "-w", "rescuer"):
            wait_until(lambda: set(standing(broker.port)) == {"dead", "rescuer"}, "both are to be seen")
            wait_until(lambda: b"dead" in kept(tmp_path), "the broker has written it down")
            broker.kill()
            dead.signal(signal.SIGKILL)
            dead.result()
            broker.start()
            wait_until(lambda: set(standing(broker.port)) == {"rescuer"}, "the rescuer has cleared it")
    finally:
        broker.stop()


def kept(folder: Path) -> bytes:
    """What the broker has written down."""
    file = folder / "mosquitto.db"
    return file.read_bytes() if file.exists() else b""
