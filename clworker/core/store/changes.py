"""Notices that another connection has committed something."""

import sqlite3


class ChangeProbe:
    """A connection of its own that asks ``PRAGMA data_version``, which takes microseconds.

    Its answer changes when any other connection commits. It reads no table and takes no
    lock that a writer would wait for.
    """

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, timeout=0, check_same_thread=False, isolation_level=None)
        self._seen = self._version()

    def changed(self) -> bool:
        """Tell whether somebody has committed since the last time that this was asked."""
        version = self._version()
        if version is None or version == self._seen:
            return False
        self._seen = version
        return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _version(self) -> int | None:
        try:
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None  # locked or gone for the moment; the poll interval is the backstop
        return version
