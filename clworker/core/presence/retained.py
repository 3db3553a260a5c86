"""Looks at the retained capability messages, and removes the stale ones."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from clworker.core.errors import BrokerUnavailable
from clworker.core.presence.messages import LARGEST, Capability
from clworker.core.presence.session import ANSWER_TIMEOUT, Session
from clworker.core.settings import BrokerSettings


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


class RetainedMessages(Session):
    """A short connection to the broker that sees the capability topics. Use as a context manager."""

    def __init__(self, settings: BrokerSettings) -> None:
        super().__init__(settings, "look")
        self._marker = f"clworker/marker/{secrets.token_hex(8)}"
        self._marked = False
        self._standing: dict[str, bytes] = {}
        self._spoke: set[str] = set()

    def __enter__(self) -> Self:
        """Connect and read what stands. Raises BrokerUnavailable."""
        super().__enter__()
        self.client.subscribe([(self._marker, 1), (self.settings.capability_topic("+"), 1)])
        # Our own message comes back after all that stood when we subscribed.
        marker = self.client.publish(self._marker, b"", qos=1)
        self.work_until(lambda: self._marked, ANSWER_TIMEOUT)
        # A broker that grants us the workers' topics alone confirms a marker and drops it.
        if not self._marked and not self.has_confirmed(marker):
            raise self.unavailable("it stopped answering")
        return self

    def standing(self) -> list[Retained]:
        """Return what stands by now, sorted by worker."""
        return [Retained(worker_id, payload) for worker_id, payload in sorted(self._standing.items())]

    def listen(self, seconds: float, enough: Callable[[set[str]], bool] = lambda spoke: False) -> set[str]:
        """Listen and return the workers that spoke; stop early once ``enough`` says so."""
        self.work_until(lambda: enough(self._spoke), seconds)
        return set(self._spoke)

    def clear(self, worker_id: str) -> None:
        """Remove a worker's retained message. Raises BrokerUnavailable without the broker's word."""
        if not self.confirmed(self.settings.capability_topic(worker_id), b"", retain=True):
            raise BrokerUnavailable(f"MQTT broker {self.label} did not confirm that {worker_id!r} is cleared")

    def on_message(self, message: Any) -> None:
        if message.topic == self._marker:
            self._marked = True
            return
        worker_id = message.topic.removeprefix(self.settings.capability_topic(""))
        if message.payload:
            self._standing[worker_id] = message.payload[: LARGEST + 1]  # enough to see that it is too large
            if not message.retain:
                self._spoke.add(worker_id)
        else:
            self._standing.pop(worker_id, None)
