"""The database of a chaos run: a file, or a PostgreSQL of its own with troubles of its own."""

import os
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.plan import Deed
from tests.support import databases, postgres

_WRITE_TIMEOUT = 30.0
_OURS = "datname = current_database() AND application_name = 'clworker'"


class FileDatabase:
    """A SQLite file, to which nothing happens by itself."""

    def __init__(self, path: Path) -> None:
        self.place: databases.Place = path
        self.environ: dict[str, str] = {}

    def insert(self, row: dict[str, Any]) -> str | None:
        """Insert a row as a patient producer does; return what was wrong."""
        try:
            databases.insert(self.place, [row], timeout=_WRITE_TIMEOUT)
        except sqlite3.OperationalError as failure:
            return str(failure)
        return None

    def perform(self, deed: Deed) -> bool:
        """No deed is done to a file."""
        raise NotImplementedError(deed)

    def end(self) -> None:
        """Nothing runs."""


class ServerDatabase(FileDatabase):
    """A PostgreSQL that is stopped, crashed and started, and whose connections are cut."""

    def __init__(self, home: Path) -> None:
        self._server = postgres.Server().start()
        self._server.execute("CREATE DATABASE chaos")
        self._runs = True
        self.place = postgres.Place(self._server.url("chaos"), home)
        self.environ = {"DATABASE_URL": self.place.url}

    def insert(self, row: dict[str, Any]) -> str | None:
        """Insert a row as a patient producer does, who knows that a lost answer may have been a yes."""
        deadline = time.monotonic() + _WRITE_TIMEOUT
        while True:
            try:
                databases.insert(self.place, [row])
            except psycopg.errors.UniqueViolation:
                return None
            except psycopg.OperationalError as failure:
                if time.monotonic() > deadline:
                    return str(failure)
                time.sleep(0.1)
            else:
                return None

    def perform(self, deed: Deed) -> bool:
        """Do it; tell whether there was something to do it to."""
        if deed is Deed.SERVER_START:
            if not self._runs:
                self._server.start()
                self._runs = True
                return True
            return False
        if not self._runs:
            return False
        if deed in (Deed.SERVER_STOP, Deed.SERVER_CRASH):
            self._server.stop(signal.SIGINT if deed is Deed.SERVER_STOP else signal.SIGQUIT)
            self._runs = False
            return True
        with suppress(psycopg.OperationalError):  # it may just recover from the last deed
            pids = self._backends()
            if deed is Deed.SERVER_CUT:
                self._server.execute(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}", database="chaos"
                )
                return bool(pids)
            for pid in pids[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    def end(self) -> None:
        """Stop the server and remove it."""
        self._server.remove()

    def _backends(self) -> Sequence[int]:
        return [row["pid"] for row in databases.rows(self.place, f"SELECT pid FROM pg_stat_activity WHERE {_OURS}")]


def made(kind: str, home: Path) -> FileDatabase:
    """Make the database of a run; ``home`` is the file, or where a server's lock files lie beside."""
    database = FileDatabase(home) if kind == "sqlite" else ServerDatabase(home)
    databases.create(database.place, "current")
    return database
