"""What systemd is told, and that no manager, however slow or absent, can hold up the worker."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from clworker.core.worker import service
from clworker.core.worker.service import ServiceManager


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


def _fill(listening: socket.socket) -> int:
    """Send what the socket takes, and return how much that was."""
    sent = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(BlockingIOError):
        sock.setblocking(False)
        sock.connect(listening.getsockname())
        while True:
            sock.send(b"x")
            sent += 1
    return sent


def test_a_message_waits_for_a_slow_manager_without_holding_up_the_loop(listening: socket.socket) -> None:
    async def run() -> None:
        waiting = _fill(listening)
        telling = asyncio.create_task(ServiceManager(listening.getsockname()).ready())
        for _ in range(10):  # the loop turns
            await asyncio.sleep(0)
        assert not telling.done()
        for _ in range(waiting):
            assert listening.recv(100) == b"x"
        async with asyncio.timeout(20):
            await telling
        assert listening.recv(100) == b"READY=1"

    asyncio.run(run())


def test_a_drain_that_goes_on_asks_for_more_time_again_and_again(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MORE_TIME", 0.03)

    async def run() -> list[bytes]:
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(ServiceManager(listening.getsockname()).ask_for_time())
        async with asyncio.timeout(20):
            told = [await loop.sock_recv(listening, 100) for _ in range(3)]
        asking.cancel()
        return told

    assert asyncio.run(run()) == [b"EXTEND_TIMEOUT_USEC=30000"] * 3


def test_a_manager_that_never_reads_is_given_up_for_each_message_alone(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_PATIENCE", 0.01)

    async def run() -> None:
        manager = ServiceManager(listening.getsockname())
        waiting = _fill(listening)
        async with asyncio.timeout(20):
            await manager.ready()
            await manager.stopping(30)
        for _ in range(waiting):
            assert listening.recv(100) == b"x"
        await manager.stopping(30)
        assert listening.recv(100) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000"

    asyncio.run(run())


@pytest.mark.parametrize("address", [None, "", "/missing/notify", "relative", "@nobody-listens-here", "/" + "x" * 200])
def test_without_a_manager_nothing_happens(address: str | None) -> None:
    async def run() -> None:
        manager = ServiceManager(address)
        await manager.ready()
        await manager.stopping(30)

    asyncio.run(run())
