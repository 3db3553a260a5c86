"""Plays a worker's life at the broker on a topic of its own, and leaves nothing there.

A worker's message is retained, and its Will removes it when the connection is dropped. Here
both sessions have that Will, so that even a doctor that is killed leaves no message behind.
"""

import secrets
from types import TracebackType
from typing import Any, Self

from clworker.core.errors import BrokerUnavailable
from clworker.core.presence.session import ANSWER_TIMEOUT, Session
from clworker.core.settings import BrokerSettings

_WILL_TIMEOUT = 3.0
_NO_WILL = "it refuses a connection with a retained Will, which every worker has"
_BIRTH = b"clworker doctor: a test, removed at once"


class Rehearsal:
    """A session that looks on, from ``with`` to the end of the block."""

    def __init__(self, settings: BrokerSettings, worker_id: str) -> None:
        """The topic lies below the worker's own: no listener for workers hears it, and the same rights are needed."""
        self.topic = f"{settings.capability_topic(worker_id)}/doctor/{secrets.token_hex(8)}"
        self._settings = settings
        self._looker = _Party(settings, self.topic)

    def __enter__(self) -> Self:
        """Connect. Raises BrokerUnavailable."""
        with Session(self._settings, "doctor"):
            pass  # who is let in at all, and refused with such a Will, must not be told to mend the password
        try:
            self._looker.__enter__()
        except BrokerUnavailable as failure:
            raise self._looker.unavailable(
                _NO_WILL, "allow retained messages (Mosquitto: retain_available)"
            ) from failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._looker.confirmed(self.topic, b"", retain=True)
        self._looker.__exit__()

    def is_allowed(self) -> bool:
        """Tell whether the broker hands us back what we publish on the topic."""
        if not self._looker.subscribed() or not self._looker.confirmed(self.topic, _BIRTH):
            return False
        return self._looker.work_until(lambda: bool(self._looker.heard), ANSWER_TIMEOUT)

    def is_retained(self) -> bool:
        """Tell whether a message that is to be kept is there for one who comes later. Raises BrokerUnavailable."""
        if not self._looker.confirmed(self.topic, _BIRTH, retain=True):
            return False
        with _Party(self._settings, self.topic) as later:
            later.subscribed()
            return later.work_until(lambda: (_BIRTH, True) in later.heard, ANSWER_TIMEOUT)

    def is_will_delivered(self) -> bool:
        """Drop a connection without a goodbye; tell whether its Will comes. Raises BrokerUnavailable."""
        victim = _Party(self._settings, self.topic)
        victim.__enter__()
        self._looker.heard.clear()
        victim.drop()
        return self._looker.work_until(lambda: (b"", False) in self._looker.heard, _WILL_TIMEOUT)


class _Party(Session):
    """One that takes part: it hears the topic, and its Will removes what stands there."""

    def __init__(self, settings: BrokerSettings, topic: str) -> None:
        super().__init__(settings, "doctor")
        self.client.will_set(topic, b"", qos=1, retain=True)
        self.client.on_subscribe = self._on_subscribe
        self.heard: list[tuple[bytes, bool]] = []
        """The messages in their order: what they say, and whether they stood there before."""
        self._topic = topic
        self._granted: bool | None = None

    def on_message(self, message: Any) -> None:
        self.heard.append((message.payload, bool(message.retain)))

    def subscribed(self) -> bool:
        """Ask for the topic, and tell whether the broker grants it."""
        self.client.subscribe(self._topic, 1)
        self.work_until(lambda: self._granted is not None, ANSWER_TIMEOUT)
        return bool(self._granted)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        self._granted = not any(reason.is_failure for reason in reasons)
