"""Connections that are slow, stuck, too many or broken: none keeps another one waiting."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from clworker.core.web import server
from clworker.core.web.listener import listen
from clworker.core.web.messages import Request, Response
from clworker.core.web.server import Server

ASK = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BIG = 8 << 20


async def respond(request: Request) -> Response:
    if request.path == "/fault":
        raise LookupError("a fault of ours")
    return Response(b"x" * BIG if request.path == "/big" else b"fine")


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Clients:
    """Connections to one server."""

    def __init__(self, server: Server, port: int) -> None:
        self.port = port
        self._server = server
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, data: bytes = b"") -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        writer.write(data)
        return reader, writer

    async def told(self, data: bytes) -> bytes:
        """Send something and return everything that comes back until the server closes."""
        reader, writer = await self.connect(data)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)

    async def until_cut_off(self) -> None:
        """Wait until the server has let go of everybody, who need not notice."""
        async with asyncio.timeout(10):
            while self._server.connections:
                await asyncio.sleep(0.01)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def serving(most: int = server.MOST_CONNECTIONS) -> AsyncIterator[Clients]:
    sock = listen("127.0.0.1", 0)
    served = Server(sock, respond, most)
    clients = Clients(served, sock.getsockname()[1])
    stop = asyncio.Event()
    task = asyncio.create_task(served.serve(stop))
    try:
        yield clients
    finally:
        clients.close()
        stop.set()
        await asyncio.wait_for(task, 10)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), 10) == b""
    except ConnectionError:
        return True


async def _next_body(reader: asyncio.StreamReader) -> bytes:
    await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(4)


def test_requests_follow_each_other_on_one_connection_and_may_be_sent_ahead() -> None:
    async def run() -> None:
        async with serving() as clients:
            reader, writer = await clients.connect()
            for _ in range(3):
                writer.write(ASK % b"")
                assert await _next_body(reader) == b"fine"
            assert (await clients.told(ASK % b"a" + ASK % b"b" + LAST)).count(b"fine") == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000,
            b"405 Method Not Allowed",
        ),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"431 Request Header Fields Too Large"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 9000 + b"\r\n", b"431 Request Header Fields Too Large"),
        (b"\x16\x03\x01\r\n\r\n", b"400 Bad Request"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words_and_the_connection_ends(data: bytes, status: bytes) -> None:
    async def run() -> bytes:
        async with serving() as clients:
            return await clients.told(data)

    assert asyncio.run(run()).splitlines()[0] == b"HTTP/1.1 " + status


def test_a_fault_of_ours_is_an_answer_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[bytes]:
        async with serving() as clients:
            reader, _ = await clients.connect(ASK % b"fault" + ASK % b"fault" + LAST)
            return (await reader.read()).split(b"\r\n")

    lines = asyncio.run(run())
    assert lines[0] == b"HTTP/1.1 500 Internal Server Error"
    assert sum(b"500 Internal Server Error:" in line for line in lines) == 2
    assert lines[-1] == b"fine"
    assert len(caplog.records) == 1


def test_two_hundred_clients_at_once_are_all_answered_beside_as_many_that_are_stuck() -> None:
    async def run() -> list[bytes]:
        async with serving() as clients:
            for number in range(220):  # some send nothing, some part of a request, some read nothing of much
                await clients.connect(ASK % b"big" if number % 40 == 0 else [b"", b"GET / HT"][number % 2])
            return await asyncio.gather(*(clients.told(LAST) for _ in range(200)))

    answers = asyncio.run(run())
    assert len(answers) == 200 and all(answer.endswith(b"fine") for answer in answers)


def test_of_too_many_connections_the_one_that_is_silent_longest_makes_room() -> None:
    async def run() -> None:
        async with serving(most=3) as clients:
            first, _ = await clients.connect()
            second, writer = await clients.connect(ASK % b"")
            await _next_body(second)
            for _ in range(2):  # one takes the last place, the other that of the first
                reader, _ = await clients.connect(ASK % b"")
                await _next_body(reader)
            assert await is_closed(first)
            writer.write(ASK % b"")
            assert await _next_body(second) == b"fine"

    asyncio.run(run())


def test_when_all_are_being_answered_one_more_is_told_to_come_again() -> None:
    async def run() -> bytes:
        async with serving(most=2) as clients:
            for _ in range(2):
                reader, _ = await clients.connect(ASK % b"big")
                await reader.readuntil(b"\r\n\r\n")  # the rest stays with the server
            return await clients.told(b"")

    assert asyncio.run(run()).startswith(b"HTTP/1.1 503 Service Unavailable")


def test_who_is_too_slow_to_ask_or_to_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT", 0.1)
    monkeypatch.setattr(server, "SEND_TIMEOUT", 0.1)

    async def run() -> None:
        async with serving() as clients:
            reader, _ = await clients.connect(b"GET / HTTP/1.1\r\nHost:")
            assert await is_closed(reader)
            reader, _ = await clients.connect(ASK % b"big")
            await reader.readuntil(b"\r\n\r\n")
            await clients.until_cut_off()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(BIG)

    asyncio.run(run())


def test_listening_stops_with_the_server() -> None:
    async def run() -> int:
        async with serving() as clients:
            return clients.port

    port = asyncio.run(run())
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port)) != 0
