"""The broker: reachable as who we are, keeping what is retained, and delivering a dead worker's Will."""

from clworker.core.doctor.check import Check, Checks, failed, ok, warning
from clworker.core.errors import BrokerUnavailable
from clworker.core.presence.rehearsal import Rehearsal
from clworker.core.settings import BrokerSettings

NAMES = ("broker", "retained", "will")


def examine(settings: BrokerSettings, worker_id: str) -> Checks:
    """Check the broker, on a topic that nobody else uses."""
    if settings.broadcast_type == "noop":
        return "BROADCAST_TYPE is noop: no broker is used"
    try:
        with Rehearsal(settings, worker_id) as rehearsal:
            yield ok("broker", f"{settings.mqtt_host}:{settings.mqtt_port} lets us in{_as_whom(settings)}")
            if not rehearsal.is_allowed():
                yield warning(
                    "retained",
                    f"the broker does not hand back what is published on {rehearsal.topic}",
                    f"if its access rules say so, allow {settings.capability_topic('#')} to be read and written",
                )
                return "the topic for it cannot be used"
            yield _of_retained(rehearsal)
            yield _of_will(rehearsal)
    except BrokerUnavailable as failure:
        yield failed("broker", str(failure), failure.advice or "start the broker again, and look into its log")
        return "the broker is out of reach"
    return None


def _of_retained(rehearsal: Rehearsal) -> Check:
    if rehearsal.is_retained():
        return ok("retained", "a retained message was there for one who came later, and is removed")
    advice = "allow retained messages at the broker (Mosquitto: retain_available), or no worker can be seen"
    return failed("retained", "the broker keeps no retained message", advice)


def _of_will(rehearsal: Rehearsal) -> Check:
    if rehearsal.is_will_delivered():
        return ok("will", "the Will of a connection that was dropped came at once")
    advice = "see the broker's rules for Wills: a killed worker stays listed until 'clear-capability --stale'"
    return failed("will", "the Will of a connection that was dropped did not come", advice)


def _as_whom(settings: BrokerSettings) -> str:
    user = f" as {settings.mqtt_user!r}" if settings.mqtt_user is not None else ""
    return f"{user}, by TLS" if settings.uses_tls else user
