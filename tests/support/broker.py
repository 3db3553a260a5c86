"""A real Mosquitto on a free loopback port, in a temporary folder, and what can go wrong with it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.waiting import wait_until

ACCEPTED = b"\x20\x02\x00\x00"
NOT_AUTHORIZED = b"\x20\x02\x00\x05"
"""The MQTT packets by which a broker answers a client that connects."""


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Tell whether somebody listens on a loopback port."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def missing(service: str) -> None:
    """Skip the test on a laptop without the service; fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{service} is not installed")
    pytest.skip(f"{service} is not installed")


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        missing(name)
    return str(found)


def environ_for(port: int) -> dict[str, str]:
    """Return the variables by which the program finds a broker on a loopback port."""
    return {"BROADCAST_TYPE": "mqtt", "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(port)}


class Broker:
    """A Mosquitto that keeps its port, and with ``persistent`` its messages, over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        certificates: Certificates | None = None,
        wants_certificate: bool = False,
        persistent: bool = False,
        further: Sequence[str] = (),
    ) -> None:
        """``users`` are names with their passwords; without them everybody may connect.

        ``further`` are more lines of its configuration.
        """
        self.port = free_port()
        self._command = [_program("mosquitto"), "-c", str(folder / "mosquitto.conf")]
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            # As root it would become a user that cannot read a test's folder.
            f"user {getpass.getuser()}",
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(users is None).lower()}",
            f"persistence {str(persistent).lower()}",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            *further,
        ]
        if users is not None:
            lines.append(f"password_file {_password_file(folder, users)}")
        if certificates is not None:
            lines += [
                f"cafile {certificates.ca}",
                f"certfile {certificates.server}",
                f"keyfile {certificates.server_key}",
                f"require_certificate {str(wants_certificate).lower()}",
            ]
        (folder / "mosquitto.conf").write_text("\n".join([*lines, ""]))

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which the program finds this broker."""
        return environ_for(self.port)

    def start(self) -> "Broker":
        """Start and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: accepts(self.port), "mosquitto listens")
        return self

    def stop(self) -> None:
        """End it cleanly, if it runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Have it crash."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Have it hang: it accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            process.wait(10)


def _password_file(folder: Path, users: Mapping[str, str]) -> Path:
    path = folder / "passwords"
    path.touch(mode=0o600)
    for name, password in users.items():
        subprocess.run([_program("mosquitto_passwd"), "-b", path, name, password], check=True, capture_output=True)
    return path


@contextmanager
def mosquitto(folder: Path, users: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run a broker for the time of the block and yield its port."""
    broker = Broker(folder, users=users)
    try:
        yield broker.start().port
    finally:
        broker.stop()


@dataclass
class MuteServer:
    """What ``mute_server`` runs: its port, and every connection that was made to it."""

    port: int
    connections: list[socket.socket]

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which the program takes it for its broker."""
        return environ_for(self.port)


@contextmanager
def mute_server(answer: bytes = b"", hangs_up: bool = False) -> Iterator[MuteServer]:
    """Accept connections and hold them; all that is ever said is ``answer``, once to each.

    With ``hangs_up`` each is closed after that.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        server = MuteServer(listener.getsockname()[1], [])

        def accept() -> None:
            with suppress(OSError):  # the end of the block closes the listener
                while True:
                    sock, _ = listener.accept()
                    server.connections.append(sock)
                    if answer or hangs_up:
                        sock.recv(4096)
                        sock.sendall(answer)
                    if hangs_up:
                        sock.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for sock in server.connections:
                sock.close()
