"""Messages between clworker's own processes: JSON with a length before it, over a socket."""

import asyncio
import json
import socket
import struct
import threading
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

Message = dict[str, Any]
_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 18
LARGEST = 64 << 20
"""Bytes of one message: far more than any of ours has, so a greater length is none."""


def encode(message: Message) -> bytes:
    """Return the bytes of one frame. Raises ValueError as ``body_of`` does."""
    return framed(body_of(message))


def body_of(message: Message) -> bytes:
    """Return the bytes of a message alone.

    Both ends are Python, so NaN and infinity pass: a job's params may hold them, and it is
    for the task's schema to refuse them. Raises ValueError for what is nested too deeply or
    larger than ``LARGEST``.
    """
    try:
        body = json.dumps(message, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if len(body) > LARGEST:
        raise ValueError(f"it has {len(body)} bytes, more than {LARGEST}")
    return body


def framed(body: bytes) -> bytes:
    """Return the frame of a message that is encoded already."""
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Turns a stream of bytes, cut anywhere, back into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take more bytes and yield every message that is whole by now.

        Raises ValueError for bytes that are none.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > LARGEST:
                raise ValueError("it is no message of clworker")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            try:
                message = json.loads(self._buffer[_LENGTH.size : end].decode())
            except RecursionError:
                raise ValueError("it is nested too deeply") from None
            if not isinstance(message, dict):
                raise ValueError("it is no message of clworker")
            del self._buffer[:end]
            yield message


class BlockingChannel:
    """A child's end of the socket, in a process that has nothing else to wait for."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)  # whatever default time-out a plugin has set for its own sockets
        self.socket = sock
        self._sending = threading.Lock()
        self._decoder = Decoder()
        self._arrived: Iterator[Message] = iter(())

    def receive(self) -> Message | None:
        """Wait for one message; None when the other side has closed.

        Raises ValueError for bytes that are none, once all messages before them are received.
        """
        while (message := next(self._arrived, None)) is None:
            try:
                data = self.socket.recv(_CHUNK)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._arrived = self._decoder.feed(data)
        return message

    def send(self, message: Message) -> None:
        """Send one message whole, from any thread. Raises OSError when the other side has closed."""
        frame = encode(message)
        with self._sending:
            self.socket.sendall(frame)


class Channel:
    """The supervisor's end of the socket, for one reader and one writer of the event loop."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._decoder = Decoder()
        self._arrived: Iterator[Message] = iter(())

    async def receive(self) -> Message | None:
        """Wait for one message; None when the other side has closed.

        Raises ValueError for bytes that are none, once all messages before them are received.
        """
        loop = asyncio.get_running_loop()
        while (message := next(self._arrived, None)) is None:
            try:
                data = await loop.sock_recv(self._socket, _CHUNK)
            except OSError:
                return None
            if not data:
                return None
            self._arrived = self._decoder.feed(data)
        return message

    async def send(self, message: Message) -> None:
        """Send one message whole. Raises OSError when the other side has closed."""
        await asyncio.get_running_loop().sock_sendall(self._socket, encode(message))

    def send_now(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send one small message at once, with open files if there are any (SCM_RIGHTS)."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        self._socket.sendmsg([encode(message)], rights)

    def close(self) -> None:
        """Close this end; the other side reads the end of the stream."""
        self._socket.close()
