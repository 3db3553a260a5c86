"""A TCP proxy before a database server, and what such a thing in between does to connections."""

import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_COMMIT = b"COMMIT\0"

_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
FAREWELL = b"E" + struct.pack("!i", len(_FIELDS) + 4) + _FIELDS
"""What a server that is shut down says to its clients."""


@dataclass(eq=False)
class _Passage:
    """One connection through the proxy."""

    client: socket.socket
    server: socket.socket
    is_silent: bool = False
    loses_answer: bool = False

    def reset(self) -> None:
        """Cut it with a RST to the client, and as one who hangs up for the server."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        self.server.close()


class Proxy:
    """Passes everything on between its clients and a port of this machine, until it is told otherwise."""

    def __init__(self, target: int) -> None:
        self.target = target
        """The port to which new connections lead."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._passages: dict[socket.socket, _Passage] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._every = 0
        self._falls_silent = False
        self._swallows = False
        self._commits = 0
        self._says = b""
        self.lost = 0
        """How many COMMITs, or answers to one, were lost."""
        self.on_lost: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_silent(self) -> None:
        """Forget every connection there is: what is sent is acknowledged, and leads nowhere."""
        with self._lock:
            for passage in self._passages.values():
                passage.is_silent = True

    def reset(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            for passage in set(self._passages.values()):
                self._forget(passage)
                passage.reset()

    def lose_commits(self, every: int) -> None:
        """Cut the connection at each so-manyth COMMIT, which the server does not get to see; with 0 none any more."""
        self._every, self._swallows, self._commits = every, True, 0

    def lose_answers(self, every: int, falls_silent: bool = False, says: bytes = b"") -> None:
        """Cut the connection, or let it fall silent, after each so-manyth COMMIT: the server makes it, nobody hears it.

        With 0 none any more. ``says`` is heard in place of the answer.
        """
        self._says = says
        self._every, self._falls_silent, self._swallows, self._commits = every, falls_silent, False, 0

    def close(self) -> None:
        """Cut everything and listen no more."""
        self._ended.set()
        self._thread.join(10)
        self.reset()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.05):
                with self._lock, suppress(OSError):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._passages:
                        self._pass_on(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            passage = _Passage(client, socket.create_connection(("127.0.0.1", self.target)))
        except OSError:
            client.close()
            return
        for side in (passage.client, passage.server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._passages[side] = passage
            self._selector.register(side, selectors.EVENT_READ)

    def _pass_on(self, side: socket.socket) -> None:
        passage = self._passages[side]
        try:
            data = side.recv(1 << 16)
            if passage.is_silent:
                if not data:  # it would be readable for ever
                    self._selector.unregister(side)
                return
            if side is passage.client:
                self._look_for_commit(passage, data)
                if passage.loses_answer and self._swallows:
                    self._lose(passage)
                    return
                passage.server.sendall(data)
            elif data and passage.loses_answer:
                self._lose(passage)
                return
            else:
                passage.client.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._forget(passage)
            passage.client.close()
            passage.server.close()

    def _look_for_commit(self, passage: _Passage, data: bytes) -> None:
        if self._every and _COMMIT in data:
            self._commits += 1
            passage.loses_answer = self._commits % self._every == 0

    def _lose(self, passage: _Passage) -> None:
        self.lost += 1
        self.on_lost()
        if self._falls_silent:
            passage.is_silent = True
            return
        self._forget(passage)
        if self._says:
            passage.client.sendall(self._says)
            passage.client.close()
            passage.server.close()
        else:
            passage.reset()

    def _forget(self, passage: _Passage) -> None:
        for side in (passage.client, passage.server):
            self._passages.pop(side, None)
            with suppress(KeyError):
                self._selector.unregister(side)


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Run one before a port of this machine for the time of the block."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
