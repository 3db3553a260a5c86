"""Tells the other programs about jobs and about this worker, over MQTT or not at all.

A broadcaster never holds up a job: publishing returns at once, a broker that is away costs
one warning, and what waits for it in memory is bounded.
"""

import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from clworker.core.presence.messages import Capability, JobEvent
from clworker.core.presence.port import Broadcaster, Presence, Standing
from clworker.core.settings import BrokerSettings

if TYPE_CHECKING:
    from clworker.core.presence.link import MqttLink

PATIENCE = 2.0
"""Seconds that a command waits, all in all, for a broker that does not answer."""


class NoopBroadcaster:
    """Publishes nothing (``BROADCAST_TYPE=noop``)."""

    def appear(self, presence: Presence) -> None:
        """Stay unseen."""

    def publish_event(self, event: JobEvent) -> None:
        """Drop the event."""

    def publish_capability(self, capability: Capability) -> None:
        """Drop the message."""

    def clear_retained(self) -> bool:
        """There is nothing to remove."""
        return True

    def clear_retained_of(self, worker_id: str, still_gone: Callable[[], bool]) -> threading.Event:
        """There is nothing to remove."""
        done = threading.Event()
        done.set()
        return done

    def standing(self) -> Standing | None:
        """There is no broker."""
        return None

    def close(self) -> None:
        """Do nothing."""


class MqttBroadcaster:
    """Publishes over a link, which connects when there is something to say."""

    def __init__(self, settings: BrokerSettings, client_id: str) -> None:
        """``client_id`` must be this process's alone."""
        self._settings = settings
        self._client_id = client_id
        self._link: MqttLink | None = None
        self._topic: str | None = None
        self._patient_until = 0.0

    def appear(self, presence: Presence) -> None:
        """Connect with a Will, and listen for queued jobs."""
        self._topic = self._settings.capability_topic(presence.worker_id)
        self._connected(presence)

    def publish_event(self, event: JobEvent) -> None:
        """Hand the event to the link."""
        self._connected().publish(self._settings.mqtt_topic, event.payload())

    def publish_capability(self, capability: Capability) -> None:
        """Hand the message to the link, which repeats it after each connect."""
        if self._topic is not None:
            self._connected().retain(self._topic, capability.payload())

    def clear_retained(self) -> bool:
        """Publish the empty message that removes the retained one."""
        if self._topic is None:
            return True
        return self._connected().retain(self._topic, b"").acknowledged.wait(PATIENCE)

    def clear_retained_of(self, worker_id: str, still_gone: Callable[[], bool]) -> threading.Event:
        """Hand the removal to the link."""
        return self._connected().clear(self._settings.capability_topic(worker_id), still_gone).acknowledged

    def standing(self) -> Standing | None:
        """Ask the link, if there is one already."""
        link = self._link
        return Standing(connected=False) if link is None else Standing(link.connected.is_set(), link.trouble)

    def close(self) -> None:
        """Give the broker until ``PATIENCE`` seconds after the start to acknowledge, then leave."""
        link, self._link = self._link, None
        if link is None:
            return
        deadline = max(self._patient_until, time.monotonic() + PATIENCE / 4)
        link.tried.wait(max(0.0, deadline - time.monotonic()))
        while link.connected.is_set() and link.unacknowledged() and time.monotonic() < deadline:
            time.sleep(0.002)
        if link.unacknowledged() and not link.in_trouble:  # a trouble was told already
            link.note_trouble("it does not confirm job events")
        link.close()

    def _connected(self, presence: Presence | None = None) -> "MqttLink":
        if self._link is None:
            # paho costs 100 ms, which a command that has nothing to say does not pay.
            from clworker.core.presence.link import MqttLink

            self._link = MqttLink(self._settings, self._client_id, presence)
            self._patient_until = time.monotonic() + PATIENCE
            self._link.start()
        return self._link


def open_broadcaster(settings: BrokerSettings, client_id: str | None = None) -> Broadcaster:
    """Make a broadcaster of the caller's own, who closes it.

    Without a ``client_id`` one that nobody else has is made up.
    """
    if settings.broadcast_type == "noop":
        return NoopBroadcaster()
    return MqttBroadcaster(settings, client_id or f"clworker-{secrets.token_hex(6)}")


_singleton: Broadcaster | None = None


def get_broadcaster(settings: BrokerSettings, client_id: str | None = None) -> Broadcaster:
    """Return this process's broadcaster, opened on the first call."""
    global _singleton
    if _singleton is None:
        _singleton = open_broadcaster(settings, client_id)
    return _singleton


def shutdown_broadcaster() -> None:
    """Close this process's broadcaster, if it ever had one."""
    global _singleton
    broadcaster, _singleton = _singleton, None
    if broadcaster is not None:
        broadcaster.close()
