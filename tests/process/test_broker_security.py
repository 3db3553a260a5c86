"""Names, passwords and TLS at the broker: what is right works, what is wrong is told, and no password gets out."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.program import Program, Result
from tests.support.waiting import wait_until

USERS = {"worker": "s3cret wörd"}
NO_WORKER_THERE = "[]"


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    try:
        yield broker.start()
    finally:
        broker.stop()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """A broker that asks for a name and a password."""
    with running(Broker(tmp_path, users=USERS)) as broker:
        yield broker


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{USERS['worker']}\nwhat follows is not the password\n")
    return path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates.make(tmp_path / "certificates")


def look(program: Program, broker: Broker, *options: str | Path, **variables: str) -> Result:
    """Have a command connect that does nothing but look."""
    return program.run("clear-capability", "w", *options, **broker.environ, **variables)


def test_a_password_by_file_or_variable_opens_the_broker(
    program: Program, guarded: Broker, password_file: Path
) -> None:
    for options, variables in (
        (("--mqtt-user", "worker", "--mqtt-password-file", password_file), {}),
        ((), {"CLWORKER_MQTT_USER": "worker", "CLWORKER_MQTT_PASSWORD": USERS["worker"]}),
        # The file wins over a variable that holds the password itself.
        (
            ("--mqtt-user", "worker"),
            {"CLWORKER_MQTT_PASSWORD": "wrong", "CLWORKER_MQTT_PASSWORD_FILE": str(password_file)},
        ),
    ):
        result = look(program, guarded, *options, **variables)
        assert (result.code, result.stderr) == (0, ""), (options, variables)


@pytest.mark.parametrize("variables", [{}, {"CLWORKER_MQTT_USER": "worker", "CLWORKER_MQTT_PASSWORD": "s3cret wrong"}])
def test_a_refusal_is_told_without_the_password(program: Program, guarded: Broker, variables: dict[str, str]) -> None:
    result = look(program, guarded, "--force", LOG_LEVEL="DEBUG", **variables)
    label = f"MQTT broker 127.0.0.1:{guarded.port}"
    assert (result.code, result.stdout) == (69, "")
    assert result.errors == [f"{label} is out of reach: it refuses the connection: Not authorized"]
    assert "s3cret" not in result.stderr


def test_a_worker_that_is_refused_goes_on_and_keeps_its_password_to_itself(
    program: Program, guarded: Broker, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("s3cret wrong\n")
    options = ("--mqtt-user", "worker", "--mqtt-password-file", wrong)
    with program.start("--log-level", "DEBUG", "run", *options, **guarded.environ) as worker:
        assert worker.process.stderr is not None
        lines: list[str] = []
        while not any("refuses" in line for line in lines):
            lines.append(worker.process.stderr.readline())
            assert lines[-1], "the worker has ended"
        family = [worker.process.pid, *descendants(worker.process.pid)]
        assert len(family) >= 3, "supervisor, nursery and slot"
        titles = [Path(f"/proc/{pid}/{file}").read_text() for pid in family for file in ("cmdline", "comm")]
        worker.signal(signal.SIGTERM)
        result = worker.result()
    assert result.code == 0
    said = "".join([*lines, result.stderr])
    assert said.count("it refuses the connection: Not authorized") == 1
    assert "s3cret" not in "".join([said, *titles])


def descendants(pid: int) -> list[int]:
    """Return the processes below a process."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return children + [below for child in children for below in descendants(child)]


def test_tls_with_an_own_ca(program: Program, certificates: Certificates, tmp_path: Path) -> None:
    with running(Broker(tmp_path, certificates=certificates)) as broker:
        result = look(program, broker, "--mqtt-ca", certificates.ca)
        assert (result.code, result.stderr) == (0, "")

        other = Certificates.make(tmp_path / "other")
        result = look(program, broker, CLWORKER_MQTT_CA=str(other.ca))
        assert result.code == 69
        assert "its certificate is refused: " in result.errors[0]

        # The certificate is for the address, not for any name that leads there.
        result = program.run(
            "clear-capability", "w", "--mqtt-ca", certificates.ca, **{**broker.environ, "MQTT_BROKER": "localhost"}
        )
        assert result.code == 69
        assert "its certificate is refused: Hostname mismatch" in result.errors[0]

        result = look(program, broker)  # plain MQTT where TLS is spoken
        assert result.code == 69
        assert "asks for TLS" in result.errors[0]


def test_a_client_certificate(program: Program, certificates: Certificates, tmp_path: Path) -> None:
    ca = ("--mqtt-ca", certificates.ca)
    with running(Broker(tmp_path, certificates=certificates, wants_certificate=True)) as broker:
        proof = ("--mqtt-cert", certificates.client, "--mqtt-key", certificates.client_key)
        assert look(program, broker, *ca, *proof).code == 0

        result = look(program, broker, *ca)
        assert result.code == 69
        assert "client certificate" in result.errors[0]

        both = tmp_path / "both.pem"  # one file may hold certificate and key
        both.write_text(certificates.client.read_text() + certificates.client_key.read_text())
        with program.start("run", "-w", "w", *map(str, (*ca, "--mqtt-cert", both)), **broker.environ) as worker:
            args = ("workers", *ca, *proof, "-f", "json")
            wait_until(
                lambda: [it["idle_count"] for it in program.ok(*args, **broker.environ).json] == [1], "it is seen"
            )
            worker.signal(signal.SIGTERM)
            assert worker.result().code == 0


def wrong_files(folder: Path, certificates: Certificates) -> dict[str, tuple[dict[str, Path], str]]:
    """Return sets of files that can never work, each with the variable at fault."""
    garbage = folder / "garbage.pem"
    garbage.write_bytes(b"-----BEGIN CERTIFICATE-----\n\0garbage\n")
    empty = folder / "empty.pem"
    empty.touch()
    ca = {"CA": certificates.ca}
    return {
        "missing-ca": ({"CA": folder / "nowhere.pem"}, "CLWORKER_MQTT_CA"),
        "folder-as-ca": ({"CA": folder}, "CLWORKER_MQTT_CA"),
        "garbage-ca": ({"CA": garbage}, "CLWORKER_MQTT_CA"),
        "empty-ca": ({"CA": empty}, "CLWORKER_MQTT_CA"),
        "garbage-cert": ({**ca, "CERT": garbage, "KEY": certificates.client_key}, "CLWORKER_MQTT_CERT"),
        "foreign-key": ({**ca, "CERT": certificates.client, "KEY": certificates.server_key}, "CLWORKER_MQTT_CERT"),
        "no-key": ({**ca, "CERT": certificates.client}, "CLWORKER_MQTT_CERT"),
        "key-alone": ({**ca, "KEY": certificates.client_key}, "CLWORKER_MQTT_CERT"),
        "empty-password": ({"PASSWORD_FILE": empty}, "CLWORKER_MQTT_PASSWORD_FILE"),
        "password-alone": ({"PASSWORD_FILE": garbage}, "CLWORKER_MQTT_USER"),
    }


def test_files_that_can_never_work_are_an_error_at_the_start(
    program: Program, certificates: Certificates, tmp_path: Path
) -> None:
    for case, (files, variable) in wrong_files(tmp_path, certificates).items():
        environ = {f"CLWORKER_MQTT_{name}": str(path) for name, path in files.items()}
        result = program.run("run", BROADCAST_TYPE="mqtt", **environ)
        assert (result.code, result.stdout, len(result.errors)) == (2, "", 1), case
        assert result.errors[0].startswith(variable), case
        assert result.stderr.count("\n") == 1, case
    assert not (program.server_dir / "media_store.db").exists(), "nothing was begun"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a file that another user cannot read")
def test_a_ca_that_this_user_cannot_read(program: Program, certificates: Certificates) -> None:
    certificates.ca.chmod(0)
    os.chown(certificates.ca, 1, 1)
    result = program.without_root_powers().run("run", "--mqtt-ca", certificates.ca)
    assert (result.code, len(result.errors)) == (2, 1)
    assert "cannot be read: Permission denied" in result.errors[0]
