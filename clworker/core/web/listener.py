"""The socket that is listened on: taken first of all, so that a bad address ends the program before it has begun."""

import errno
import os
import socket

from clworker.core.errors import UsageFault

BACKLOG = 256
"""Connections that wait to be accepted; of one more the first packet is lost, which costs its client a second."""

_FAULTS = {
    errno.EADDRINUSE: "another program listens there already; choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "this user may not listen there; choose a port above 1023",
}


def listen(address: str, port: int) -> socket.socket:
    """Listen on a TCP port, on any free one for 0. Raises UsageFault when that cannot be."""
    where = shown(address, port)
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageFault(f"--http (CLWORKER_HTTP): cannot listen on {where}: the address is not known") from None
    # A name can mean several addresses, "localhost" two: of these the one that every client tries.
    family, _, _, _, bound_to = min(found, key=lambda each: each[0] != socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(bound_to)
        sock.listen(BACKLOG)
    except OSError as failure:
        sock.close()
        reason = _FAULTS.get(failure.errno or 0) or os.strerror(failure.errno or 0)
        raise UsageFault(f"--http (CLWORKER_HTTP): cannot listen on {where}: {reason}") from None
    return sock


def url_of(sock: socket.socket) -> str:
    """Return the URL of the page."""
    address, port = sock.getsockname()[:2]
    return f"http://{shown(address, port)}/"


def shown(address: str, port: int) -> str:
    """Write an address and a port as in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
