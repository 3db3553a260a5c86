"""What systemd is told, and that no manager, however slow or absent, can hold up the worker."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clworker.core.worker.service import ServiceManager


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(20)
        yield sock


def _tell_often(manager: ServiceManager) -> None:
    for _ in range(2000):
        manager.ready()


def test_a_manager_that_does_not_read_is_not_waited_for(listening: socket.socket) -> None:
    manager = ServiceManager(listening.getsockname())
    telling = threading.Thread(target=_tell_often, args=[manager], daemon=True)
    telling.start()
    telling.join(20)
    assert not telling.is_alive()

    while listening.recv(4096) == b"READY=1":  # it reads again, and is told again
        manager.stopping(1)


@pytest.mark.parametrize("address", [None, "", "/missing/notify", "relative", "@nobody-listens-here", "/" + "x" * 200])
def test_without_a_manager_nothing_happens(address: str | None) -> None:
    manager = ServiceManager(address)
    manager.ready()
    manager.stopping(30)
