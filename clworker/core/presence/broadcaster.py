"""Tells the other programs about jobs, over MQTT or not at all.

A broadcaster never holds up a job: publishing returns at once, a broker that is away costs
one warning, and what waits for it in memory is bounded.
"""

import logging
import secrets
import threading
import time
from collections import deque
from typing import Any, Protocol

from clworker.core.presence.messages import JobEvent
from clworker.core.settings import Settings

PATIENCE = 2.0
"""Seconds that a command waits, all in all, for a broker that does not answer."""

_MAX_QUEUED = 1000
_KEEPALIVE = 15
_log = logging.getLogger("clworker.presence")


class Broadcaster(Protocol):
    """The port to the outside."""

    def publish_event(self, event: JobEvent) -> None:
        """Send a job event if and when that is possible. Never blocks and never raises."""

    def close(self) -> None:
        """Wait a moment for what is on its way, then disconnect. Safe to call twice."""


class NoopBroadcaster:
    """Publishes nothing (``BROADCAST_TYPE=noop``)."""

    def publish_event(self, event: JobEvent) -> None:
        """Drop the event."""

    def close(self) -> None:
        """Do nothing."""


class MqttBroadcaster:
    """Publishes through paho-mqtt, whose own thread connects at the first event and sends."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        """``client_id`` must be this process's alone."""
        self._settings = settings
        self._client_id = client_id
        self._where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self._client: Any = None
        self._deadline = 0.0
        self._failed = False
        # paho sends what comes while it connects before what came earlier; so that waits here.
        self._in_order = threading.RLock()
        self._waiting: deque[bytes] = deque()
        self._connected = False
        self._published = 0
        self._acknowledged = 0

    def publish_event(self, event: JobEvent) -> None:
        """Queue the event for paho's thread."""
        if self._client is None:
            self._client = self._connecting_client()
        if self._unacknowledged() >= _MAX_QUEUED:
            return
        with self._in_order:
            self._published += 1
            self._waiting.append(event.payload())
            if self._connected:
                self._send_waiting(self._client)

    def close(self) -> None:
        """Give the broker until ``PATIENCE`` seconds after the start to acknowledge, then leave."""
        if self._client is None:
            return
        deadline = max(self._deadline, time.monotonic() + 0.2)
        while self._unacknowledged() and not self._failed and time.monotonic() < deadline:
            time.sleep(0.005)
        lost = self._unacknowledged()
        if lost:
            self._warn("MQTT broker does not answer; job events were not published", events=lost)
            self._failed = True
        self._client.disconnect()
        self._client = None

    def _connecting_client(self) -> Any:
        from paho.mqtt import client as mqtt  # 100 ms that a command without events does not pay
        from paho.mqtt import enums

        self._deadline = time.monotonic() + PATIENCE
        client = mqtt.Client(
            enums.CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=mqtt.MQTTv311, clean_session=True
        )
        client.connect_timeout = PATIENCE
        client.max_queued_messages_set(_MAX_QUEUED)
        client.on_publish = self._on_publish
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.connect_async(self._settings.mqtt_host, self._settings.mqtt_port, keepalive=_KEEPALIVE)
        client.loop_start()
        return client

    def _unacknowledged(self) -> int:
        return self._published - self._acknowledged

    def _on_publish(self, _client: Any, _data: Any, _mid: Any, _reason: Any, _properties: Any) -> None:
        self._acknowledged += 1

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._warn("MQTT broker refuses the connection; jobs go on without it", reason=str(reason))
        self._failed = bool(reason.is_failure)
        with self._in_order:
            self._connected = not self._failed
            if self._connected:
                self._send_waiting(client)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        with self._in_order:
            self._connected = False

    def _send_waiting(self, client: Any) -> None:
        while self._waiting:
            client.publish(self._settings.mqtt_topic, self._waiting.popleft(), qos=1)

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self._warn("MQTT broker is out of reach; jobs go on without it")
        self._failed = True

    def _warn(self, event: str, **fields: Any) -> None:
        """Say what is wrong with the broker, once until it is well again."""
        if not self._failed:
            _log.warning(event, extra={"broker": self._where, **fields})


_singleton: Broadcaster | None = None


def get_broadcaster(settings: Settings, client_id: str | None = None) -> Broadcaster:
    """Return this process's broadcaster, made on the first call.

    Without a ``client_id`` one that nobody else has is made up.
    """
    global _singleton
    if _singleton is None:
        if settings.broadcast_type == "noop":
            _singleton = NoopBroadcaster()
        else:
            _singleton = MqttBroadcaster(settings, client_id or f"clworker-{secrets.token_hex(6)}")
    return _singleton


def shutdown_broadcaster() -> None:
    """Close this process's broadcaster, if it ever had one."""
    global _singleton
    broadcaster, _singleton = _singleton, None
    if broadcaster is not None:
        broadcaster.close()
