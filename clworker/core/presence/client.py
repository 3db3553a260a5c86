"""paho clients that know how to prove who they are, and nothing more."""

import ssl

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from clworker.core.settings import BrokerSettings
from clworker.core.tls import client_context

KEEPALIVE = 15
"""Seconds after whose one and a half the broker takes a silent client for dead."""

CONNECT_TIMEOUT = 2.0
"""Seconds that a broker gets to accept a connection, and again to answer on it."""

SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS

MUTE = "it accepts connections but does not answer"
HUNG_UP = "it closed the connection without an answer, as one that asks for TLS or a client certificate does"


def new_client(settings: BrokerSettings, client_id: str) -> mqtt.Client:
    """Make a client of MQTT 3.1.1 that never reconnects by itself.

    Two live holders of one client id would otherwise throw each other out for ever.
    """
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=mqtt.MQTTv311,
        clean_session=True,
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT
    if settings.mqtt_user is not None:
        client.username_pw_set(settings.mqtt_user, settings.mqtt_password)
    if settings.uses_tls:
        client.tls_set_context(client_context(settings.mqtt_ca, settings.mqtt_cert, settings.mqtt_key))
    return client


def refusal(reason: object) -> str:
    """Say that the broker has answered with a no."""
    return f"it refuses the connection: {reason}"


def reason_for(failure: OSError) -> str:
    """Say why a connection failed."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {failure.verify_message}"
    if isinstance(failure, TimeoutError):
        return "it does not answer"
    return failure.strerror or str(failure)
