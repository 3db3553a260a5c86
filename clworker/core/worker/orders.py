"""Orders to a slot: a queue in the kernel, from which the slot takes one when it has nothing to do.

The supervisor keeps both ends, so that it can take back what the slot has not taken: of the
two that read, each order goes to one. Orders too large for the queue go another way.
"""

import json
import socket

from clworker.core.frames import BlockingChannel, Message, body_of

LARGEST = 8_192
"""Bytes of an order that can wait in the queue."""

_BUFFER = 212_992
"""Bytes asked for, which any Linux grants: some twenty orders of the largest size, or dozens of usual ones."""

_LARGE = {"type": "large"}


class OrderQueue:
    """The supervisor's ends of the queue."""

    def __init__(self) -> None:
        self._write_end, self._read_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._write_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        # Not the other end, whose slot waits: both processes share what is set there.
        self._write_end.setblocking(False)

    @property
    def read_end(self) -> int:
        """The descriptor to hand to the slot."""
        return self._read_end.fileno()

    def put(self, order: bytes) -> bool:
        """Queue an encoded order; False when the queue is full."""
        try:
            self._write_end.send(order)
        except BlockingIOError:
            return False
        return True

    def announce_large(self) -> None:
        """Have the slot read the next order from its channel."""
        self._write_end.send(body_of(_LARGE))

    def take_back(self) -> list[bytes]:
        """Remove what the slot has not taken and return it, oldest first.

        The slot may take one in between, so what is returned need not be all of the latest.
        """
        orders: list[bytes] = []
        try:
            while order := self._read_end.recv(LARGEST, socket.MSG_DONTWAIT):
                orders.append(order)
        except OSError:
            pass
        return orders

    def close(self) -> None:
        """Close both ends; an idle slot then ends by itself."""
        self._write_end.close()
        self._read_end.close()


def token_of(order: bytes) -> str | None:
    """Return whose order this is; None for the word that a large one comes another way."""
    token: str | None = json.loads(order).get("token")
    return token


class OrderInbox:
    """The slot's end of the queue."""

    def __init__(self, sock: socket.socket, channel: BlockingChannel) -> None:
        """What is too large for the queue comes over the channel."""
        sock.setblocking(True)
        self._socket = sock
        self._channel = channel

    def receive(self) -> Message | None:
        """Wait for one order; None when the supervisor has closed the queue."""
        try:
            order = self._socket.recv(LARGEST)
        except ConnectionResetError:
            return None
        if not order:
            return None
        message: Message = json.loads(order.decode())
        return self._channel.receive() if message == _LARGE else message
