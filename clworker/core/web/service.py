"""Serves a worker's site in a thread of its own, for as long as the worker is there."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from clworker.core.presence.port import Broadcaster
from clworker.core.settings import Settings
from clworker.core.store.store import Store
from clworker.core.web.history import History
from clworker.core.web.listener import url_of
from clworker.core.web.metrics import Metrics
from clworker.core.web.pulse import Pulse
from clworker.core.web.server import Server
from clworker.core.web.site import Site
from clworker.core.web.snapshot import Observatory, Sources
from clworker.core.worker.observer import Observer
from clworker.core.worker.situation import Situation

_LONGEST_END = 5.0
_log = logging.getLogger("clworker.web")


class WebService:
    """Use it as a context manager, in the loop of the worker that it shows."""

    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        """``sock`` listens already; it is closed in the end."""
        history = History()
        metrics = Metrics(settings.worker_id, history)
        self.observer: Observer = metrics
        self._sock = sock
        self._pulse = Pulse()
        self._observatory = Observatory(self._pulse, history)
        address = settings.http[0] if settings.http is not None else ""
        self._site = Site(settings.worker_id, address, self._pulse, self._observatory, metrics)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def __enter__(self) -> "WebService":
        _log.info("health, metrics and the page are served", extra={"url": url_of(self._sock)})
        self._pulse.start()
        self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._pulse.stop()
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_LONGEST_END)
        self._observatory.close()

    def watch(self, ask: Callable[[], Situation], store: Store, broadcaster: Broadcaster) -> None:
        """Show this worker from now on; until then it is said to be starting."""
        self._observatory.sources = Sources(store, broadcaster)
        self._pulse.watch(ask)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(Server(self._sock, self._site.respond).serve(self._stop))
            except Exception as failure:  # the worker goes on without
                _log.error("health, metrics and the page are served no more", exc_info=failure)
