"""Another MQTT client: it sees what the other programs see, and publishes as they do."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.waiting import TIMEOUT, wait_until

Value = TypeVar("Value")
CAPABILITY_TOPIC = "inference/workers/"


@dataclass(frozen=True)
class Seen:
    """One message as it arrived; ``at`` is on the monotonic clock, ``wall_ms`` on the other."""

    topic: str
    payload: bytes
    retain: bool
    at: float = field(default_factory=time.monotonic)
    wall_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    @property
    def json(self) -> Any:
        """The message's meaning; None for an empty one."""
        return json.loads(self.payload) if self.payload else None


class Watcher:
    """Records every message on some topics, in order, for the time of a ``with`` block.

    It comes back by itself after a restart of the broker.
    """

    def __init__(self, port: int, *topics: str) -> None:
        self.seen: list[Seen] = []
        self._topics = topics
        self._port = port
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"watcher-{secrets.token_hex(6)}")
        self._client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def __enter__(self) -> "Watcher":
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self.is_back()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def is_back(self) -> None:
        """Wait until the broker has confirmed the subscription."""
        wait_until(self._subscribed.is_set, "the watcher has subscribed")

    def publish(self, topic: str, payload: bytes | Mapping[str, Any], retain: bool = False) -> None:
        """Publish as another program would, and wait until the broker has it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, body, qos=1, retain=retain).wait_for_publish(10)

    def on(self, topic: str) -> list[Seen]:
        """Return what came on one topic."""
        return [message for message in self.seen if message.topic == topic]

    def capability(self, worker_id: str) -> list[Seen]:
        """Return what came on a worker's capability topic."""
        return self.on(CAPABILITY_TOPIC + worker_id)

    def idle_counts(self, worker_id: str) -> list[int | None]:
        """Return a worker's states in order without repetitions; None is the empty message."""
        counts: list[int | None] = []
        for message in self.capability(worker_id):
            count = message.json and message.json["idle_count"]
            if not counts or counts[-1] != count:
                counts.append(count)
        return counts

    def events(self, job_id: str | None = None) -> list[dict[str, Any]]:
        """Return the job events, of one job or of all."""
        found = [message.json for message in self.on("cl_server")]
        return [event for event in found if job_id in (None, event["job_id"])]

    def wait_for(self, condition: Callable[["Watcher"], Value], what: str, timeout: float = TIMEOUT) -> Value:
        """Wait until what was seen fulfils a condition."""
        return wait_until(lambda: condition(self), what, timeout)

    def wait_for_state(self, worker_id: str, count: int | None, timeout: float = TIMEOUT) -> Seen:
        """Wait until a worker's latest message says this idle count; None waits for its removal."""

        def latest_is_so() -> Seen | None:
            messages = self.capability(worker_id)
            if not messages or (messages[-1].json and messages[-1].json["idle_count"]) != count:
                return None
            return messages[-1]

        found = wait_until(latest_is_so, f"{worker_id} shows {count}", timeout)
        assert found is not None
        return found

    def _on_connect(self, client: mqtt.Client, *_rest: Any) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_disconnect(self, *_rest: Any) -> None:
        self._subscribed.clear()

    def _on_subscribe(self, *_rest: Any) -> None:
        self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.seen.append(Seen(message.topic, bytes(message.payload), message.retain))


def standing(port: int) -> dict[str, bytes]:
    """Return the retained messages of all workers, as a client that comes now gets them."""
    marker = f"marker/{secrets.token_hex(6)}"
    with Watcher(port, f"{CAPABILITY_TOPIC}#", marker) as watcher:
        # It comes back after all that stood when we subscribed.
        watcher.publish(marker, b"end")
        watcher.wait_for(lambda it: it.on(marker), "the marker comes back")
        return {
            message.topic.removeprefix(CAPABILITY_TOPIC): message.payload
            for message in watcher.seen
            if message.retain and message.topic != marker
        }
