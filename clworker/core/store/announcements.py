"""Hears from PostgreSQL that one of clworker's programs has queued a job.

On a connection of its own, in a thread of its own, so that the event loop never waits for it.
"""

import logging
import os
import secrets
import select
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from clworker.core.errors import StoreUnavailable

CHANNEL = "clworker_queued"

_CHECK = "check-"
_CHECK_PATIENCE = 5.0
"""Seconds for which our own notification may be under way."""
_SILENCE = 30.0
"""Seconds without a notification after which we see whether the connection still leads anywhere."""
_POLL = 1.0
_RECONNECT = 1.0
_LISTENS_AGAIN = 60.0
"""Seconds without notifications before we try again: a server in trouble, too, can keep one for too long."""
_log = logging.getLogger("clworker.store")


class Announcements:
    """Changes that the server tells of, for as long as it is followed; else asked for every half second."""

    def __init__(
        self, connect: "Callable[[], psycopg.Connection[Any]]", notify: Callable[[str], None], label: str
    ) -> None:
        """``notify`` sends a payload through the channel, on another connection than those ``connect`` opens."""
        self._connect = connect
        self._notify = notify
        self._label = label
        self._looked_at = 0.0
        self._closed = threading.Event()
        self._on_change: Callable[[], object] = lambda: None
        self._woken, self._waker = os.pipe()
        self._thread: threading.Thread | None = None
        self._warned = False

    def changed(self) -> bool:
        """Tell every half second that somebody may have committed: not everybody announces it."""
        now = time.monotonic()
        if now < self._looked_at + _POLL / 2:
            return False
        self._looked_at = now
        return True

    def follow(self, on_change: Callable[[], object]) -> None:
        """Have ``on_change`` called, in another thread, whenever a job may have been queued."""
        self._on_change = on_change
        self._thread = threading.Thread(target=self._run, name="clworker-announcements", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        if self._closed.is_set():
            return
        self._closed.set()
        os.write(self._waker, b"x")
        if self._thread is not None:
            self._thread.join()
        os.close(self._waker)
        os.close(self._woken)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                if not self._listen():
                    self._poll()
            except (psycopg.Error, StoreUnavailable) as failure:
                _log.debug("not listening for queued jobs", extra={"reason": str(failure)})
            self._on_change()  # of what came in between nobody was told
            self._closed.wait(_RECONNECT)

    def _listen(self) -> bool:
        """Listen until the connection breaks or we are closed; False when nothing can be heard on it."""
        with closing(self._connect()) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            if not self._hears_itself(connection):
                return self._closed.is_set()
            self._on_change()
            while not self._closed.is_set():
                heard = self._heard(connection, _SILENCE)
                if not heard and not self._hears_itself(connection):
                    break  # cut without a word: listen on another one
                if not heard or any(not payload.startswith(_CHECK) for payload in heard):
                    self._on_change()
        return True

    def _hears_itself(self, connection: "psycopg.Connection[Any]") -> bool:
        """Prove that notifications arrive: behind a pooler that shares connections they do not."""
        check = f"{_CHECK}{secrets.token_hex(8)}"
        self._notify(check)
        deadline = time.monotonic() + _CHECK_PATIENCE
        while (left := deadline - time.monotonic()) > 0 and not self._closed.is_set():
            if check in self._heard(connection, left):
                return True
        return False

    def _heard(self, connection: "psycopg.Connection[Any]", timeout: float) -> list[str]:
        """Wait for something to arrive and return the payloads of all notifications."""
        readable, _, _ = select.select([connection.fileno(), self._woken], [], [], timeout)
        if connection.fileno() not in readable:
            return []
        connection.pgconn.consume_input()
        payloads = []
        while (notification := connection.pgconn.notifies()) is not None:
            payloads.append(notification.extra.decode(errors="replace"))
        return payloads

    def _poll(self) -> None:
        if not self._warned:
            _log.warning(
                "no notifications arrive from the database, as behind a pooler that shares connections; "
                "looking for jobs every second",
                extra={"database": self._label},
            )
        self._warned = True
        until = time.monotonic() + _LISTENS_AGAIN
        while time.monotonic() < until and not self._closed.wait(_POLL):
            self._on_change()
