"""Job events on a real broker, and what a broker that is away, refuses or keeps silent costs: a warning at most."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt import enums

from clworker.core.clock import now_ms
from clworker.core.presence.client import HUNG_UP
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.broker import free_port, mosquitto
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder
from tests.support.program import Program, Result
from tests.support.waiting import wait_until

NO_PARAMS = "class Params(BaseModel):\n    pass"
OUT_OF_REACH = "MQTT broker is out of reach; jobs go on"
REASONS = {
    "absent": "Connection refused",
    "refusing": "it refuses the connection: Not authorized",
    "silent": "it does not confirm job events",
    "closing": HUNG_UP,
    "babbling": HUNG_UP,
}


@contextmanager
def listening(port: int, topic: str) -> Iterator[list[mqtt.MQTTMessage]]:
    """Subscribe to a topic; the list grows while the block runs."""
    messages: list[mqtt.MQTTMessage] = []
    subscribed = threading.Event()
    client = mqtt.Client(enums.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: messages.append(message)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.subscribe(topic, qos=2)
    client.loop_start()
    try:
        assert subscribed.wait(20)
        yield messages
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def impostor(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections and have ``answer`` deal with each; yields the port."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                while True:
                    connections.append(server.accept()[0])
                    answer(connections[-1])
            except OSError:
                pass  # shut down below

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(20)
            for connection in connections:
                connection.close()


@pytest.fixture
def bad_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of a broker that is no help, in the way that the parameter names."""
    if request.param == "absent":
        yield free_port()
    elif request.param == "refusing":
        with mosquitto(tmp_path, users={}) as port:
            yield port
    else:
        answers: dict[str, Callable[[socket.socket], None]] = {
            "silent": lambda _: None,
            "closing": lambda connection: connection.close(),
            "babbling": lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10),
        }
        with impostor(answers[request.param]) as port:
            yield port


def events_of(messages: list[mqtt.MQTTMessage], count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(messages) >= count, f"{count} events have come")
    return [json.loads(message.payload) for message in messages]


def test_events_of_a_job_that_completes(program: Program, command: InProcess, picture: Path, broker_port: int) -> None:
    program.environ.update(BROADCAST_TYPE="mqtt", MQTT_BROKER="127.0.0.1", MQTT_PORT=str(broker_port))
    started = now_ms()
    with listening(broker_port, "#") as messages:
        job_id = command.ok("jobs", "submit", "image_conversion", picture, "-p", "format=png").stdout.strip()
        (queued,) = events_of(messages, 1)
        command.ok("once")
        events = events_of(messages, 3)
    assert events[0] == queued == {**queued, "event_type": "queued", "progress": 0}
    assert (events[1]["event_type"], events[1]["progress"]) == ("processing", 0)
    assert (events[-1]["event_type"], events[-1]["progress"]) == ("completed", 100)
    for event in events:
        assert list(event) == ["job_id", "event_type", "progress", "timestamp"]
        assert event["job_id"] == job_id
        assert started <= event["timestamp"] <= now_ms()
    assert {(message.topic, message.qos, message.retain) for message in messages} == {("cl_server", 1, False)}
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)


def test_events_of_a_job_that_fails_on_a_topic_of_choice(
    program: Program, command: InProcess, plugins: PluginFolder, broker_port: int
) -> None:
    plugins.install_task(
        "failing",
        "time.sleep(0.2)\nprogress_callback(50)\nawait asyncio.sleep(0.2)\nraise ValueError('no')",
        schema="Params",
        header=NO_PARAMS,
    )
    program.environ.update(BROADCAST_TYPE="mqtt", MQTT_BROKER="127.0.0.1", MQTT_PORT=str(broker_port))
    with listening(broker_port, "inference/#") as messages:
        command.ok("jobs", "submit", "failing", MQTT_TOPIC="inference/events")
        assert command.run("once", MQTT_TOPIC="inference/events").code == 1
        events = events_of(messages, 4)
    assert [(event["event_type"], event["progress"]) for event in events] == [
        ("queued", 0),
        ("processing", 0),
        ("processing", 50),
        ("failed", 50),
    ]
    assert {message.topic for message in messages} == {"inference/events"}


@pytest.fixture
def plain_job(plugins: PluginFolder, store: Store, database: Path) -> str:
    """A queued job of a task without parameters; its id."""
    plugins.install_task("plain", "return {'status': 'ok', 'task_output': {}}", schema="Params", header=NO_PARAMS)
    databases.insert(database, [{"job_id": "plain-1", "task_type": "plain"}])
    return "plain-1"


def the_warning(result: Result) -> dict[str, Any]:
    assert result.errors == []
    (line,) = [line for line in result.log if line["level"] != "info"]
    assert line["level"] == "warning"
    return line


@pytest.mark.parametrize(("bad_broker", "reason"), REASONS.items(), ids=list(REASONS), indirect=["bad_broker"])
def test_a_bad_broker_costs_one_warning_and_never_the_job(
    program: Program, command: InProcess, plain_job: str, bad_broker: int, reason: str
) -> None:
    program.environ.update(BROADCAST_TYPE="mqtt", MQTT_BROKER="127.0.0.1", MQTT_PORT=str(bad_broker))
    done = command.ok("once", "-f", "json")
    assert (done.json["job_id"], done.json["status"]) == (plain_job, "completed")
    line = the_warning(done)
    assert (line["event"], line["broker"], line["reason"]) == (OUT_OF_REACH, f"127.0.0.1:{bad_broker}", reason)
    assert line["worker_id"] == "worker-default"


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_submitting_without_a_broker(command: InProcess, plain_job: str, host: str) -> None:
    changes = {"BROADCAST_TYPE": "mqtt", "MQTT_BROKER": host, "MQTT_PORT": str(free_port())}
    result = command.ok("jobs", "submit", "plain", **changes)
    assert command.ok("jobs", "show", result.stdout.strip(), "-f", "json").json["status"] == "queued"
    assert the_warning(result)["event"] == OUT_OF_REACH


def test_noop_needs_no_broker_and_calls_none(program: Program, command: InProcess, plain_job: str) -> None:
    called = threading.Event()
    with impostor(lambda _: called.set()) as port:
        program.environ.update(BROADCAST_TYPE="noop", MQTT_BROKER="127.0.0.1", MQTT_PORT=str(port))
        assert command.ok("jobs", "submit", "plain").stderr == ""
        assert [line["level"] for line in command.ok("once").log] == ["info"] * 2
    assert not called.is_set()
