"""``clworker doctor`` and the broker: each trouble is told apart, and no password gets out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.broker import Broker, environ_for, free_port, mute_server
from tests.support.certificates import Certificates
from tests.support.diagnosis import Runs, diagnosis, states
from tests.support.in_process import InProcess
from tests.support.program import Program

ALL = ("broker", "retained", "will")
UNUSABLE = ["failed", "skipped", "skipped"]


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    try:
        yield broker.start()
    finally:
        broker.stop()


def trouble(by: Runs, environ: dict[str, str]) -> tuple[str, str]:
    """Return what is said of a broker that cannot be used, and what to do."""
    checks = diagnosis(by, 1, **environ)
    assert states(checks, *ALL) == UNUSABLE
    assert checks["retained"]["found"] == "the broker is out of reach"
    return checks["broker"]["found"], checks["broker"]["advice"]


def test_one_that_does_not_run(command: InProcess) -> None:
    found, advice = trouble(command, environ_for(free_port()))
    assert found.endswith("is out of reach: Connection refused")
    assert advice.startswith("nothing listens there: start the broker")


def test_one_that_is_mute(command: InProcess) -> None:
    with mute_server() as server:
        found, advice = trouble(command, server.environ)
    assert found.endswith("it accepts connections but does not answer")
    assert "whether it hangs" in advice


def test_wrong_password_and_none(command: InProcess, tmp_path: Path) -> None:
    with running(Broker(tmp_path, users={"worker": "right"})) as broker:
        found, advice = trouble(command, broker.environ)
        assert found.endswith("it refuses the connection: Not authorized")
        assert advice.startswith("it asks for a user name and password")
        wrong = {"CLWORKER_MQTT_USER": "worker", "CLWORKER_MQTT_PASSWORD": "s3cret"}
        found, advice = trouble(command, broker.environ | wrong)
        assert found.endswith("it refuses the connection: Not authorized")
        assert advice.startswith("correct the password of the user 'worker'")
        assert "s3cret" not in found + advice


def test_wrong_ca_and_no_tls(program: Program, command: InProcess, tmp_path: Path) -> None:
    certificates = Certificates.make(tmp_path / "right")
    other = Certificates.make(tmp_path / "other")
    with running(Broker(tmp_path, certificates=certificates)) as broker:
        checks = diagnosis(command, 0, "--mqtt-ca", certificates.ca, **broker.environ)
        assert states(checks, *ALL) == ["ok"] * 3
        assert checks["broker"]["found"].endswith(" lets us in, by TLS")
        # As a process, since paho leaves a socket open when a certificate is refused.
        found, advice = trouble(program, broker.environ | {"CLWORKER_MQTT_CA": str(other.ca)})
        assert "its certificate is refused: " in found
        assert advice.startswith("set CLWORKER_MQTT_CA to the CA that signed")
        found, advice = trouble(command, broker.environ)
        assert "closed the connection without an answer" in found
        assert advice.startswith("set CLWORKER_MQTT_CA if it speaks TLS")


def test_one_that_keeps_nothing(command: InProcess, tmp_path: Path) -> None:
    with running(Broker(tmp_path, further=["retain_available false"])) as broker:
        found, advice = trouble(command, broker.environ)
    assert found.endswith("it refuses a connection with a retained Will, which every worker has")
    assert "retain_available" in advice


def test_access_rules_that_do_not_allow_the_topic(command: InProcess, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite cl_server\n")
    rules.chmod(0o600)
    with running(Broker(tmp_path, further=[f"acl_file {rules}"])) as broker:
        checks = diagnosis(command, 0, "-w", "w", **broker.environ)
    assert states(checks, *ALL) == ["ok", "warning", "skipped"]
    assert "does not hand back what is published on inference/workers/w/doctor/" in checks["retained"]["found"]
    assert "allow inference/workers/#" in checks["retained"]["advice"]
