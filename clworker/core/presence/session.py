"""A short connection to the broker, worked by whoever has opened it: no thread, no reconnecting."""

import secrets
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Self

from paho.mqtt.client import MQTTMessageInfo

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
from clworker.core.settings import BrokerSettings

ANSWER_TIMEOUT = 2.0
"""Seconds that the broker gets to confirm a message."""

_WRONG_CREDENTIALS = (134, 135)
"""By paho's names for the answers of MQTT 3.1.1: bad user name or password, not authorized."""


class Session:
    """One connection from ``with`` to the end of the block."""

    def __init__(self, settings: BrokerSettings, purpose: str) -> None:
        """``purpose`` becomes part of the client id, which is unique."""
        self.settings = settings
        self.label = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self.client = new_client(settings, f"clworker-{purpose}-{secrets.token_hex(6)}")
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish
        self.client.on_message = lambda _client, _data, message: self.on_message(message)
        self._answer: Any = None
        self._confirmed: set[int] = set()

    def __enter__(self) -> Self:
        """Connect. Raises BrokerUnavailable, which says why and what to do."""
        try:
            self.client.connect(self.settings.mqtt_host, self.settings.mqtt_port, keepalive=KEEPALIVE)
        except OSError as failure:
            raise self.unavailable(reason_for(failure), _advice_for(failure)) from failure
        self.work_until(lambda: self._answer is not None, CONNECT_TIMEOUT)
        if self._answer is None and self.client.socket() is None:
            raise self.unavailable(HUNG_UP, "set CLWORKER_MQTT_CA if it speaks TLS, and CLWORKER_MQTT_CERT if it asks")
        if self._answer is None:
            self.drop()
            raise self.unavailable(MUTE, "see whether that is an MQTT broker, and whether it hangs: start it again")
        if self._answer.is_failure:
            self.drop()
            raise self.unavailable(refusal(self._answer), self._advice_on_refusal())
        return self

    def __exit__(self, *_failure: object) -> None:
        self.client.disconnect()
        self.work_until(lambda: not self.client.want_write(), 0.5)

    def on_message(self, message: Any) -> None:
        """Take a message that has come."""

    def confirmed(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish, and tell whether the broker has confirmed that in time."""
        sent = self.client.publish(topic, payload, qos=1, retain=retain)
        return self.work_until(lambda: self.has_confirmed(sent), ANSWER_TIMEOUT)

    def has_confirmed(self, sent: MQTTMessageInfo) -> bool:
        """Tell whether the broker has confirmed a message."""
        return sent.mid in self._confirmed

    def work_until(self, done: Callable[[], bool], timeout: float) -> bool:
        """Send and receive until ``done``, or the connection or the time has ended; tell whether it is done."""
        deadline = time.monotonic() + timeout
        while not done() and (remaining := deadline - time.monotonic()) > 0:
            if self.client.loop(min(remaining, 0.2)) != SUCCESS:
                break
        return done()

    def drop(self) -> None:
        """Cut the connection without a goodbye, as the kernel does for a process that is killed."""
        sock = self.client.socket()
        if sock is not None:
            sock.close()

    def unavailable(self, reason: str, advice: str | None = None) -> BrokerUnavailable:
        """Make the error that says why the broker cannot be used."""
        return BrokerUnavailable(f"MQTT broker {self.label} is out of reach: {reason}", advice)

    def _advice_on_refusal(self) -> str:
        if self._answer.value not in _WRONG_CREDENTIALS:
            return "look into the broker's log for its reason"
        if self.settings.mqtt_user is None:
            return "it asks for a user name and password: set CLWORKER_MQTT_USER and CLWORKER_MQTT_PASSWORD_FILE"
        return (
            f"correct the password of the user {self.settings.mqtt_user!r} (CLWORKER_MQTT_PASSWORD_FILE), or the name"
        )

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._answer = reason

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._confirmed.add(mid)


def _advice_for(failure: OSError) -> str:
    """Say what to do about a connection that failed."""
    match failure:
        case ssl.SSLCertVerificationError():
            return "set CLWORKER_MQTT_CA to the CA that signed the broker's certificate, MQTT_BROKER to a name in it"
        case ssl.SSLError():
            return "see that the broker speaks TLS on this port (MQTT_PORT), else unset CLWORKER_MQTT_CA"
        case ConnectionRefusedError():
            return "nothing listens there: start the broker, or correct MQTT_BROKER and MQTT_PORT"
        case socket.gaierror():
            return "no such name: correct MQTT_BROKER, or mend the name service"
    return "see that its host runs and that no firewall is in between; or correct MQTT_BROKER and MQTT_PORT"
