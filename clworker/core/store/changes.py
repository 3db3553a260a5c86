"""Notices that another connection has committed something."""

import sqlite3
import threading
from collections.abc import Callable
from typing import Protocol


class Changes(Protocol):
    """Tells of what others commit."""

    def changed(self) -> bool:
        """Tell whether somebody may have committed since the last time that this was asked."""

    def close(self) -> None:
        """Watch no more."""


class Announced(Changes, Protocol):
    """Changes that the database itself tells of."""

    def follow(self, on_change: Callable[[], object]) -> None:
        """Have ``on_change`` called, in another thread, whenever a job may have been queued."""


class ChangeProbe:
    """A connection of its own that asks ``PRAGMA data_version``, which takes microseconds.

    Its answer changes when any other connection commits. It reads no table and takes no
    lock that a writer would wait for.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._turn = threading.Lock()
        self._paused = False
        self._connection: sqlite3.Connection | None = None
        self._seen = self._version()

    def changed(self) -> bool:
        """Tell whether somebody has committed since the last time that this was asked."""
        version = self._version()
        if version is None or version == self._seen:
            return False
        self._seen = version
        return True

    def pause(self) -> None:
        """Close the connection; until ``resume`` nothing is seen."""
        with self._turn:
            self._paused = True
            self._disconnect()

    def resume(self) -> None:
        """Connect again at the next look, which finds a change: nobody saw what came in between."""
        with self._turn:
            if self._paused:
                self._paused = False
                self._seen = None

    def close(self) -> None:
        """Close the connection for good."""
        self.pause()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _version(self) -> int | None:
        with self._turn:
            if self._paused:
                return None
            try:
                if self._connection is None:
                    self._connection = sqlite3.connect(
                        self.path, timeout=0, check_same_thread=False, isolation_level=None
                    )
                version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:
                return None  # locked or gone for the moment; the poll interval is the backstop
            return version
