"""Which address answers what."""

import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from clworker import __version__
from clworker.core.web.cached import Cached
from clworker.core.web.health import ailment, hindrances
from clworker.core.web.messages import Refused, Request, Response
from clworker.core.web.metrics import Metrics
from clworker.core.web.page import Page
from clworker.core.web.pulse import Pulse
from clworker.core.web.snapshot import Observatory, Snapshot
from clworker.core.web.state import state_of


class Site:
    """Answers requests about one worker; whatever takes time is made once for all who ask within a second."""

    def __init__(self, worker_id: str, address: str, pulse: Pulse, observatory: Observatory, metrics: Metrics) -> None:
        """``address`` is what was asked to be listened on, perhaps a name."""
        self._pulse = pulse
        self._metrics = metrics
        self._names = {"localhost", socket.gethostname().lower(), address.lower()}
        self._page = Page(worker_id, __version__, socket.gethostname())
        self._snapshot = Cached(observatory.look)
        shown = {"/": Cached(self._rendered), "/state.json": Cached(self._state)}
        counted = Cached(self._counted)
        self._open: dict[str, Callable[[], Awaitable[Response]]] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": counted.get,
        }
        """What holds no text of any job, and so may be asked for by any name: probes use names of their own."""
        self._guarded: dict[str, Callable[[], Awaitable[Response]]] = {path: each.get for path, each in shown.items()}

    async def respond(self, request: Request) -> Response:
        """Answer. Raises Refused."""
        respond = self._open.get(request.path)
        if respond is None:
            self._check_name(request.host)
            respond = self._guarded.get(request.path)
        if respond is None:
            there = " ".join([*self._guarded, *self._open])
            raise Refused(HTTPStatus.NOT_FOUND, f"there is only {there}")
        return await respond()

    def _check_name(self, host: str) -> None:
        """Refuse a name that is not this machine's: another site may have had it point here (DNS rebinding)."""
        if host in self._names or host.endswith(".localhost") or not host or _is_address(host):
            return
        raise Refused(
            HTTPStatus.MISDIRECTED_REQUEST,
            "this worker answers to an IP address, to localhost and to its machine's name; "
            "a proxy in front of it has to send one of these as Host",
        )

    async def _alive(self) -> Response:
        reason = ailment(self._pulse.silence)
        if reason is None:
            return Response.text("alive")
        return Response.text(f"not alive: {reason}", HTTPStatus.SERVICE_UNAVAILABLE)

    async def _ready(self) -> Response:
        reasons = self._hindrances(await self._snapshot.get())
        if not reasons:
            return Response.text("ready")
        return Response.text(f"not ready: {'; '.join(reasons)}", HTTPStatus.SERVICE_UNAVAILABLE)

    async def _counted(self) -> Response:
        snapshot = await self._snapshot.get()
        return self._metrics.exposed(snapshot, self._hindrances(snapshot))

    async def _state(self) -> Response:
        snapshot = await self._snapshot.get()
        state = state_of(snapshot, self._hindrances(snapshot))
        return Response(json.dumps(state).encode(), "application/json")

    async def _rendered(self) -> Response:
        snapshot = await self._snapshot.get()
        return self._page.rendered(state_of(snapshot, self._hindrances(snapshot)))

    def _hindrances(self, snapshot: Snapshot) -> list[str]:
        # How the worker stands is known better than the snapshot does, which is kept for a while. But until one was
        # taken of the database, nobody knows that there is one.
        has_looked = snapshot.overview is not None or snapshot.database_fault is not None
        situation = self._pulse.situation if has_looked else None
        return list(hindrances(self._pulse.silence, situation, snapshot.database_fault))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
