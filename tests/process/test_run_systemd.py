"""``clworker run`` under ``Type=notify``: it tells the service manager what sd_notify(3) asks for."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.plugins import PluginFolder
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker


class Manager:
    """A service manager that writes down what it is told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def listen(self) -> list[str]:
        """Return everything that was told until now."""
        with suppress(BlockingIOError):
            while True:
                self.told.append(self._socket.recv(4096).decode())
        return self.told

    def wait_for(self, message: str, count: int = 1) -> list[str]:
        """Wait until this message has come so many times, ever; return everything told by then."""
        wait_until(lambda: self.listen().count(message) >= count, f"the manager is told {message!r}")
        return self.told


Managers = Callable[[str], Manager]


@pytest.fixture
def managers() -> Iterator[Managers]:
    """Makes managers that listen at an address, in the file system or in Linux's abstract name space."""
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(closing(Manager(address)))


def test_a_whole_life_as_a_service(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path, managers: Managers
) -> None:
    manager = managers(str(tmp_path / "notify"))
    gate, importing, imported = tmp_path / "gate", tmp_path / "importing", tmp_path / "imported"
    plugins.install_gated("gated", gate)
    slow = f"""
        import pathlib, time
        pathlib.Path({str(importing)!r}).touch()
        while not pathlib.Path({str(imported)!r}).exists():
            time.sleep(0.01)
        """
    plugins.install("slow", slow, {"slow": "Task"})
    databases.queue(database, {"job_id": "a", "task_type": "gated"})
    worker = start_worker.without_waiting(
        "--drain-timeout", "20", NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="200000"
    )
    wait_until(importing.exists, "the plugins are being imported")
    assert manager.listen() == []

    imported.touch()
    ready, *fed = manager.wait_for("WATCHDOG=1", 3)
    assert (ready, set(fed)) == ("READY=1", {"WATCHDOG=1"})
    worker.wait_for("job started")

    worker.send(signal.SIGTERM)
    manager.wait_for("STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000")
    manager.wait_for(
        "WATCHDOG=1", manager.told.count("WATCHDOG=1") + 3
    )  # the drain takes its time, and is no reason to be killed
    gate.touch()
    assert worker.result().code == 0
    assert [message for message in manager.listen() if message != "WATCHDOG=1"] == [
        "READY=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000",
    ]


def test_without_a_watchdog_none_is_fed_and_a_manager_that_has_gone_does_no_harm(
    start_worker: StartWorker, tmp_path: Path, managers: Managers
) -> None:
    manager = managers(f"@clworker-{tmp_path}")
    worker = start_worker(NOTIFY_SOCKET=manager.address)
    assert manager.listen() == ["READY=1"]
    manager.close()
    result = worker.stop()
    assert (result.code, len(result.log)) == (0, 2)
