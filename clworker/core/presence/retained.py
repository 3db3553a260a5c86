"""Looks at the retained capability messages, and removes the stale ones."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clworker.core.errors import BrokerUnavailable
from clworker.core.presence.client import (
    CONNECT_TIMEOUT,
    HUNG_UP,
    KEEPALIVE,
    MUTE,
    SUCCESS,
    new_client,
    reason_for,
    refusal,
)
from clworker.core.presence.messages import LARGEST, Capability
from clworker.core.settings import BrokerSettings

_ANSWER_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Retained:
    """A retained message as it stands: its worker's id by the topic, and what it says."""

    worker_id: str
    payload: bytes

    @property
    def capability(self) -> Capability | None:
        """The message's meaning; None when it is malformed."""
        return None if self.fault else Capability.parse(self.payload)

    @property
    def fault(self) -> str | None:
        """What is wrong with the message."""
        try:
            found = Capability.parse(self.payload)
        except ValueError as fault:
            return str(fault)
        return None if found.worker_id == self.worker_id else f"names another worker, {found.worker_id!r}"


class RetainedMessages:
    """A short connection to the broker that sees the capability topics. Use as a context manager."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._label = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self._client = new_client(settings, f"clworker-look-{secrets.token_hex(6)}")
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._answer: Any = None
        self._marker = f"clworker/marker/{secrets.token_hex(8)}"
        self._marked = False
        self._standing: dict[str, bytes] = {}
        self._spoke: set[str] = set()
        self._confirmed: set[int] = set()

    def __enter__(self) -> "RetainedMessages":
        """Connect and read what stands. Raises BrokerUnavailable."""
        try:
            self._client.connect(self._settings.mqtt_host, self._settings.mqtt_port, keepalive=KEEPALIVE)
        except OSError as failure:
            raise self._unavailable(reason_for(failure)) from failure
        self._work_until(lambda: self._answer is not None, CONNECT_TIMEOUT)
        if self._answer is None:
            raise self._unavailable(HUNG_UP if self._client.socket() is None else MUTE)
        if self._answer.is_failure:
            raise self._unavailable(refusal(self._answer))
        self._client.subscribe([(self._marker, 1), (self._settings.capability_topic("+"), 1)])
        # Our own message comes back after all that stood when we subscribed.
        marker = self._client.publish(self._marker, b"", qos=1)
        self._work_until(lambda: self._marked, _ANSWER_TIMEOUT)
        # A broker that grants us the workers' topics alone confirms a marker and drops it.
        if not self._marked and marker.mid not in self._confirmed:
            raise self._unavailable("it stopped answering")
        return self

    def __exit__(self, *_failure: object) -> None:
        self._client.disconnect()
        self._work_until(lambda: not self._client.want_write(), 0.5)

    def standing(self) -> list[Retained]:
        """Return what stands by now, sorted by worker."""
        return [Retained(worker_id, payload) for worker_id, payload in sorted(self._standing.items())]

    def listen(self, seconds: float, enough: Callable[[set[str]], bool] = lambda spoke: False) -> set[str]:
        """Listen and return the workers that spoke; stop early once ``enough`` says so."""
        self._work_until(lambda: enough(self._spoke), seconds)
        return set(self._spoke)

    def clear(self, worker_id: str) -> None:
        """Remove a worker's retained message. Raises BrokerUnavailable without the broker's word."""
        sent = self._client.publish(self._settings.capability_topic(worker_id), b"", qos=1, retain=True)
        self._work_until(lambda: sent.mid in self._confirmed, _ANSWER_TIMEOUT)
        if sent.mid not in self._confirmed:
            raise BrokerUnavailable(f"MQTT broker {self._label} did not confirm that {worker_id!r} is cleared")

    def _unavailable(self, reason: str) -> BrokerUnavailable:
        return BrokerUnavailable(f"MQTT broker {self._label} is out of reach: {reason}")

    def _work_until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done() and (remaining := deadline - time.monotonic()) > 0:
            if self._client.loop(min(remaining, 0.2)) != SUCCESS:
                return

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._answer = reason

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        if message.topic == self._marker:
            self._marked = True
            return
        worker_id = message.topic.removeprefix(self._settings.capability_topic(""))
        if message.payload:
            self._standing[worker_id] = message.payload[: LARGEST + 1]  # enough to see that it is too large
            if not message.retain:
                self._spoke.add(worker_id)
        else:
            self._standing.pop(worker_id, None)

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._confirmed.add(mid)
