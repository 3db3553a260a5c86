"""A connection to the broker that is kept up by a thread of its own.

All calls to paho are made in that thread, over its interface for foreign event loops. So
nothing here can block a worker, no message is cut by another, and an exception in a
callback cannot kill the connection silently.
"""

import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

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
from clworker.core.presence.port import Presence
from clworker.core.settings import BrokerSettings

MAX_WAITING = 1000
"""Messages kept for a broker that is away; the oldest make room for new ones."""

_PAUSE = 0.5
_log = logging.getLogger("clworker.presence")


@dataclass(eq=False)
class Publication:
    """A message on its way; ``acknowledged`` is set once the broker has it."""

    topic: str
    payload: bytes
    retain: bool = False
    only_if: Callable[[], bool] | None = None
    """Asked in the link's thread just before sending; False drops the message, which then counts as done."""
    acknowledged: threading.Event = field(default_factory=threading.Event)


class MqttLink:
    """Publishes over one connection, and makes a new one whenever it breaks."""

    def __init__(self, settings: BrokerSettings, client_id: str, presence: Presence | None = None) -> None:
        """Prepare; ``start`` connects."""
        self._where = (settings.mqtt_host, settings.mqtt_port)
        self._presence = presence
        self._events_topic = settings.mqtt_topic
        self._client = new_client(settings, client_id)
        if presence is not None:
            # Before connecting, or the broker never hears of it.
            self._own_topic = settings.capability_topic(presence.worker_id)
            self._client.will_set(self._own_topic, b"", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._waiting: deque[Publication] = deque(maxlen=MAX_WAITING)
        self._sent: dict[int, Publication] = {}
        self._clearings: dict[int, Publication] = {}
        self._due: deque[Publication] = deque()
        """The clearings that are to be sent on this connection."""
        self._retained: Publication | None = None
        self._told: Publication | None = None
        """The retained message that was sent last on this connection."""
        self._trouble: str | None = None
        self._broken = HUNG_UP
        """What to say when the connection ends now."""
        self._wake, self._wake_end = socket.socketpair()
        self._wake_end.setblocking(False)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="mqtt", daemon=True)
        self.connected = threading.Event()
        self.tried = threading.Event()
        """Set once the first try to connect has come to an end, good or bad."""

    def start(self) -> None:
        """Start connecting."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes) -> Publication:
        """Send a message as soon as that is possible."""
        return self._queue(Publication(topic, payload))

    def clear(self, topic: str, only_if: Callable[[], bool]) -> Publication:
        """Remove a retained message that is not this link's own, if it still is to be removed then.

        However long the broker is away, and however much waits for it: this is not forgotten.
        """
        publication = Publication(topic, b"", retain=True, only_if=only_if)
        self._clearings[id(publication)] = publication
        self._due.append(publication)
        self._poke()
        return publication

    def retain(self, topic: str, payload: bytes) -> Publication:
        """Have the broker keep this message, now and after each connect; the latest counts."""
        self._retained = publication = Publication(topic, payload, retain=True)
        self._poke()
        return publication

    def unacknowledged(self) -> int:
        """Return how many messages, of those that are not retained, the broker has not confirmed."""
        return len(self._waiting) + sum(not publication.retain for publication in list(self._sent.values()))

    @property
    def in_trouble(self) -> bool:
        """Whether the last try to connect, or the connection, has failed."""
        return self._trouble is not None

    @property
    def trouble(self) -> str | None:
        """Why the last try to connect, or the connection, has failed; None while all is well."""
        return self._trouble

    def note_trouble(self, reason: str, failure: Exception | None = None) -> None:
        """Log a trouble once, until it changes or ends."""
        if reason != self._trouble and not self._closing.is_set():
            context = {"broker": self._label, "reason": reason}
            _log.warning("MQTT broker is out of reach; jobs go on", extra=context, exc_info=failure)
        self._trouble = reason
        self.tried.set()

    def close(self) -> None:
        """Disconnect cleanly, so that the broker sends no Will, and end the thread.

        Only when the broker has not confirmed the removal of what it retains is it left
        without a goodbye: then the Will does the removing.
        """
        self._closing.set()
        self._poke()
        if self._thread.is_alive():
            self._thread.join(CONNECT_TIMEOUT)
        elif self._thread.ident is None:  # never started
            self._wake.close()
            self._wake_end.close()

    def _queue(self, publication: Publication) -> Publication:
        self._waiting.append(publication)
        self._poke()
        return publication

    def _serve(self) -> None:
        try:
            self._keep_connected()
        finally:
            self._wake.close()
            self._wake_end.close()

    def _keep_connected(self) -> None:
        while not self._closing.is_set():
            try:
                if self._presence is not None and not self._presence.may_connect():
                    return
                self._connect_and_loop()
            except Exception as failure:  # whatever it is, this thread goes on
                self.note_trouble(f"the MQTT client failed: {failure!r}", failure)
            self.connected.clear()
            self.tried.set()
            self._closing.wait(_PAUSE)

    def _connect_and_loop(self) -> None:
        try:
            self._client.connect(*self._where, keepalive=KEEPALIVE)
        except OSError as failure:
            self.note_trouble(reason_for(failure))
            return
        self._broken = HUNG_UP
        answer_by = time.monotonic() + CONNECT_TIMEOUT
        while not self._closing.is_set():
            if not self.connected.is_set() and time.monotonic() > answer_by:
                self.note_trouble(MUTE)
                return
            if not self._step():
                self.note_trouble(self._broken)
                return
        if self._owes_a_clearing():
            self._hang_up()
            return
        self._client.disconnect()
        while self._client.want_write() and self._client.loop_write() == SUCCESS:
            pass

    def _step(self) -> bool:
        """Wait for something to do and do it; False when the connection is gone."""
        if self.connected.is_set():
            self._send_waiting()
        sock = self._client.socket()
        if sock is None:
            return False
        writers = [sock] if self._client.want_write() else []
        timeout = 0.0 if getattr(sock, "pending", int)() else 0.5
        readable, writable, _ = select.select([sock, self._wake], writers, [], timeout)
        if self._wake in readable:
            self._wake.recv(4096)
        if (sock in readable or timeout == 0.0) and self._client.loop_read() != SUCCESS:
            return False
        if writable and self._client.loop_write() != SUCCESS:
            return False
        return bool(self._client.loop_misc() == SUCCESS)

    def _send_waiting(self) -> None:
        if not self._says_goodbye:
            self._send_retained()
        while self._due:
            clearing = self._due.popleft()
            if clearing.only_if is None or clearing.only_if():
                self._send(clearing)
            else:
                self._done(clearing)
        while self._waiting and len(self._sent) < MAX_WAITING:
            self._send(self._waiting.popleft())
        if self._says_goodbye and not self._waiting:
            self._send_retained()

    @property
    def _says_goodbye(self) -> bool:
        """Whether our own message is to be removed, which comes after all else that we have to say."""
        return self._retained is not None and not self._retained.payload

    def _send_retained(self) -> None:
        retained = self._retained
        # One at a time, so that a broker that lags gets the latest and not the way there.
        if (
            retained is not None
            and retained is not self._told
            and (self._told is None or self._told.acknowledged.is_set())
        ):
            self._told = retained
            self._send(retained)

    def _send(self, publication: Publication) -> None:
        info = self._client.publish(publication.topic, publication.payload, qos=1, retain=publication.retain)
        self._sent[info.mid] = publication

    def _owes_a_clearing(self) -> bool:
        return self._says_goodbye and self._retained is not None and not self._retained.acknowledged.is_set()

    def _hang_up(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._broken = refusal(reason)
            return
        if self._trouble is not None:
            _log.info("MQTT broker is back", extra={"broker": self._label})
        self._trouble = None
        if self._presence is not None:
            client.subscribe([(self._events_topic, 0), (self._own_topic, 1)])
        self._told = None
        self._due = deque(self._clearings.values())
        self._broken = "the connection broke"
        self.connected.set()
        self.tried.set()

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        publication = self._sent.pop(mid, None)
        if publication is not None:
            self._done(publication)

    def _done(self, publication: Publication) -> None:
        self._clearings.pop(id(publication), None)
        publication.acknowledged.set()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        if self._presence is None:
            return
        if message.topic != self._own_topic:
            self._presence.on_event(message.payload)
        elif not message.payload and self._retained is not None and self._retained.payload:
            # Somebody took us for dead at the very moment that we came: say again that we are here.
            self._told = None

    @property
    def _label(self) -> str:
        return f"{self._where[0]}:{self._where[1]}"

    def _poke(self) -> None:
        with suppress(OSError):  # full, and so poked already
            self._wake_end.send(b"\0")
