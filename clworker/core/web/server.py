"""The connections: any number of clients that are slow, stuck or hostile cost a bounded little and stop nobody.

One thread serves them all, so that none of them has a thread to hold on to.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from clworker.core.web.listener import BACKLOG
from clworker.core.web.messages import LONGEST_HEAD, Refused, Request, Response, parse

MOST_CONNECTIONS = 256
"""At once; for one more the one that has been silent longest makes room."""

HEAD_TIMEOUT = 15.0
"""Seconds for the next request's head, from the end of the last one; an idle connection is closed then."""

SEND_TIMEOUT = 10.0
"""Seconds for a client to take a response."""

_GOODBYE_TIMEOUT = 1.0
_MOST_UNREAD = 1 << 20
_METHODS = ("GET", "HEAD")
_log = logging.getLogger("clworker.web")
Respond = Callable[[Request], Awaitable[Response]]


class Server:
    """Answers requests on one listening socket, which it closes in the end."""

    def __init__(self, sock: socket.socket, respond: Respond, most_connections: int = MOST_CONNECTIONS) -> None:
        self._sock = sock
        self._respond = respond
        self._most = most_connections
        self._open: set[asyncio.StreamWriter] = set()
        self._silent: dict[asyncio.StreamWriter, None] = {}
        """Connections that owe us a request, the longest silent first."""
        self._has_failed = False

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._open)

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until told to stop; who is connected then is cut off."""
        server = await asyncio.start_server(self._converse, sock=self._sock, limit=LONGEST_HEAD, backlog=BACKLOG)
        try:
            await stop.wait()
        finally:
            server.close()
            for writer in list(self._open):
                writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._most:
            self._make_room()
        self._open.add(writer)
        writer.transport.set_write_buffer_limits(0)  # so that draining tells when the client has taken all
        try:
            if len(self._open) > self._most:
                await self._send(writer, _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections").encoded())
            else:
                while await self._answer_next(reader, writer):
                    pass
                await self._say_goodbye(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass  # the client has gone, or has been waited for long enough
        finally:
            self._silent.pop(writer, None)
            self._open.discard(writer)
            writer.transport.abort()

    def _make_room(self) -> None:
        longest_silent = next(iter(self._silent), None)
        if longest_silent is not None:
            del self._silent[longest_silent]
            self._open.discard(longest_silent)
            longest_silent.transport.abort()

    async def _answer_next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; tell whether another may follow."""
        self._silent[writer] = None
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
            self._silent.pop(writer, None)
            request = parse(head)
        except asyncio.LimitOverrunError:
            await self._send(
                writer, _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long").encoded()
            )
            return False
        except Refused as refusal:
            await self._send(writer, _refusal(refusal.status, str(refusal)).encoded())
            return False
        response = await self._response_to(request)
        head_only = request.method == "HEAD"
        await self._send(writer, response.encoded(head_only=head_only, keep_alive=request.keep_alive))
        return request.keep_alive

    async def _response_to(self, request: Request) -> Response:
        if request.method not in _METHODS:
            reason = f"there is nothing to change here; allowed are {' and '.join(_METHODS)}"
            return Response.text(reason, HTTPStatus.METHOD_NOT_ALLOWED, Allow=", ".join(_METHODS))
        try:
            return await self._respond(request)
        except Refused as refusal:
            return _refusal(refusal.status, str(refusal))
        except Exception as failure:  # a fault of ours must not end the thread
            if not self._has_failed:
                _log.error("a request failed", extra={"path": request.path}, exc_info=failure)
            self._has_failed = True
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the worker's log has more")

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        async with asyncio.timeout(SEND_TIMEOUT):
            await writer.drain()

    async def _say_goodbye(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """End our side, and read what the client still sends: closing at once could cost it our answer."""
        self._silent[writer] = None
        writer.write_eof()
        unread = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_TIMEOUT):
                while unread < _MOST_UNREAD and (data := await reader.read(LONGEST_HEAD)):
                    unread += len(data)


def _refusal(status: HTTPStatus, reason: str) -> Response:
    return Response.text(f"{status.value} {status.phrase}: {reason}", status)
