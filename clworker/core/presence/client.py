"""paho clients that know how to prove who they are, and nothing more."""

import ssl

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from clworker.core.errors import SettingsError
from clworker.core.settings import BrokerSettings

KEEPALIVE = 15
"""Seconds after whose one and a half the broker takes a silent client for dead."""

CONNECT_TIMEOUT = 2.0
"""Seconds that a broker gets to accept a connection, and again to answer on it."""

SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS

MUTE = "it accepts connections but does not answer"
HUNG_UP = "it closed the connection without an answer, as one that asks for TLS or a client certificate does"


def new_client(settings: BrokerSettings, client_id: str) -> mqtt.Client:
    """Make a client of MQTT 3.1.1 that never reconnects by itself.

    Two live holders of one client id would otherwise throw each other out for ever. Raises
    SettingsError for a certificate or key that can never work.
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
    context = tls_context(settings)
    if context is not None:
        client.tls_set_context(context)
    return client


def tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    """Return how to speak TLS, or None without it. Raises SettingsError for unusable files."""
    if settings.mqtt_ca is None and settings.mqtt_cert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.mqtt_ca)
    except (ssl.SSLError, OSError, ValueError) as failure:
        raise _unusable("CA", settings.mqtt_ca, failure) from failure
    if settings.mqtt_cert is not None:
        try:
            context.load_cert_chain(settings.mqtt_cert, settings.mqtt_key, password=_no_passphrase)
        except (ssl.SSLError, OSError, ValueError) as failure:
            raise _unusable("CERT", settings.mqtt_cert, failure) from failure
    return context


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


def _no_passphrase() -> str:
    raise ValueError("the key is protected by a passphrase")


def _unusable(what: str, path: object, failure: Exception) -> SettingsError:
    reason = getattr(failure, "reason", None) or str(failure)
    return SettingsError([f"CLWORKER_MQTT_{what}: {str(path)!r} cannot be used for TLS: {reason}"])
