"""HTTP/1.1 in as few words as a read-only server needs: one request's head in, one response out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

LONGEST_HEAD = 8192
"""Bytes of a request's first line and headers together."""

_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/(\d)\.(\d)")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n]*?)[ \t]*")
_ON_EVERY_RESPONSE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # For what is no page too: whatever a browser makes of it, it may do nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Refused(Exception):
    """A request that is not answered as it was meant, and the status that says why."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for. ``host`` is what the client takes this server's name to be, without a port."""

    method: str
    path: str
    host: str
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def text(cls, text: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> "Response":
        """Build a response of one line."""
        return cls(f"{text}\n".encode(errors="replace"), status=status, headers=headers)

    def encoded(self, *, head_only: bool = False, keep_alive: bool = False) -> bytes:
        """Return the bytes to send."""
        headers = {
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Connection": "keep-alive" if keep_alive else "close",
            **_ON_EVERY_RESPONSE,
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", *map(": ".join, headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1") + (b"" if head_only else self.body)


def parse(head: bytes) -> Request:
    """Read a request's head, up to its empty line. Raises Refused."""
    lines = head.decode("latin-1").strip("\r\n").split("\r\n")
    found = _REQUEST_LINE.fullmatch(lines[0])
    if found is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
    method, target, major, minor = found.groups()
    if major != "1":
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is spoken here")
    headers = _headers(lines[1:])
    hosts = headers.get("host", [])
    if len(hosts) > 1 or (minor != "0" and not hosts):
        raise Refused(HTTPStatus.BAD_REQUEST, "a request names its host, once")
    path, host = _target(target)
    wishes = ",".join(headers.get("connection", [])).lower()
    # A body is not read, so nothing that follows it could be told from it.
    has_body = "transfer-encoding" in headers or headers.get("content-length", ["0"]) != ["0"]
    keep_alive = not has_body and "close" not in wishes and (minor != "0" or "keep-alive" in wishes)
    return Request(method, path, _without_port(host or "".join(hosts)), keep_alive)


def _headers(lines: list[str]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "a header is broken")
        headers.setdefault(found[1].lower(), []).append(found[2])
    return headers


def _target(target: str) -> tuple[str, str]:
    """Return the path, and the host where the whole URL was given."""
    if target.startswith("/"):
        return target.partition("?")[0], ""
    try:
        url = urlsplit(target)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "the address is broken") from None
    return url.path or "/", url.netloc


def _without_port(host: str) -> str:
    return re.sub(r":\d*$", "", host).lower()
