"""Frames: whatever JSON can say arrives unchanged, however the stream is cut and whoever sends."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clworker.core.frames import LARGEST, BlockingChannel, Channel, Decoder, Message, encode

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
messages = st.dictionaries(st.text(), json_values, max_size=5)


@settings(max_examples=50)
@given(st.lists(messages, max_size=3), st.data())
def test_a_stream_cut_anywhere_gives_the_same_messages(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = Decoder()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [message for piece in pieces for message in decoder.feed(piece)] == sent


def test_infinity_passes_since_both_ends_are_python() -> None:
    assert list(Decoder().feed(encode({"value": float("inf")}))) == [{"value": float("inf")}]


def test_nesting_beyond_what_python_can_walk_is_a_value_error_on_both_sides() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError, match="nested too deeply"):
        encode({"value": nested})
    body = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(ValueError, match="nested too deeply"):
        list(Decoder().feed(len(body).to_bytes(4, "big") + body))


@pytest.mark.parametrize("body", [b"nope", b"\xff\xfe", b"{", b"", b"[1]", b"null", b'"type"', b"9" * 5000])
def test_bytes_that_are_no_message_are_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        list(Decoder().feed(len(body).to_bytes(4, "big") + body))


def test_a_length_beyond_reason_is_refused_before_its_bytes_are_waited_for() -> None:
    with pytest.raises(ValueError, match="no message"):
        list(Decoder().feed(b"nope"))
    with pytest.raises(ValueError, match=r"it has \d+ bytes"):
        encode({"text": "x" * LARGEST})


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        yield ours, theirs


def test_messages_of_several_threads_stay_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    sender, receiver = BlockingChannel(theirs), BlockingChannel(ours)

    def send(name: str) -> None:
        for _ in range(10):
            sender.send({"text": name * 1_000_000})  # far more than a socket's buffer

    threads = [threading.Thread(target=send, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    texts = [(receiver.receive() or {})["text"] for _ in range(30)]
    for thread in threads:
        thread.join()
    assert {(text[0], len(set(text)), len(text)) for text in texts} == {(name, 1, 1_000_000) for name in "abc"}


def test_messages_before_garbage_arrive_though_all_came_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(encode({"number": 1}) + encode({"number": 2}) + b"\0\0\0\4nope")

    async def read_all() -> list[Message | None]:
        channel = Channel(ours)
        received = [await channel.receive(), await channel.receive()]
        with pytest.raises(ValueError):
            await channel.receive()
        return received

    assert asyncio.run(read_all()) == [{"number": 1}, {"number": 2}]


def test_open_files_travel_with_a_message(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    reading, writing = os.pipe()
    Channel(ours).send_now({"type": "spawn"}, [writing])
    os.close(writing)
    data, fds, _flags, _address = socket.recv_fds(theirs, 1000, 4)
    assert list(Decoder().feed(data)) == [{"type": "spawn"}]
    os.write(fds[0], b"through the copy")
    os.close(fds[0])
    assert os.read(reading, 100) == b"through the copy"
    os.close(reading)


@pytest.mark.parametrize("unread", [False, True], ids=["closed", "reset"])
def test_other_side_that_is_gone_ends_the_stream(ends: tuple[socket.socket, socket.socket], unread: bool) -> None:
    ours, theirs = ends
    if unread:
        ours.sendall(b"never read")  # closing over it is a reset
    theirs.close()
    channel = BlockingChannel(ours)
    assert channel.receive() is None
    with pytest.raises(OSError):
        channel.send({})


def test_default_timeout_of_a_plugin_does_not_end_an_idle_channel(ends: tuple[socket.socket, socket.socket]) -> None:
    socket.setdefaulttimeout(0.01)
    try:
        channel = BlockingChannel(socket.socket(fileno=ends[1].detach()))
    finally:
        socket.setdefaulttimeout(None)
    with closing(channel.socket):
        assert channel.socket.gettimeout() is None
