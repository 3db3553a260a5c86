"""A real Mosquitto on a free loopback port, in a temporary folder."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_until


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


@contextmanager
def mosquitto(folder: Path, access: str = "allow_anonymous true") -> Iterator[int]:
    """Run a broker for the time of the block and yield its port."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("mosquitto")
        return
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\n{access}\npersistence false\n")
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port), "mosquitto listens")
        yield port
    finally:
        process.terminate()
        process.wait(10)
