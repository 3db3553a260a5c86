"""The servers that brokers and rivals need: on a free port of 127.0.0.1, in a folder that is removed at the end."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.processes import Group, environment, run, running
from benchmarks.results import NotMeasured
from benchmarks.rounds import wait_until

_CONNECTIONS = 500


class Servers:
    """Starts each server when it is first asked for; as a context manager it stops them all.

    Every property raises NotMeasured when the server is not installed or does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_failure: object) -> None:
        self._stack.close()

    @cached_property
    def mosquitto(self) -> "Mosquitto":
        return self._stack.enter_context(_mosquitto(self._folder))

    @cached_property
    def redis(self) -> "Redis":
        return self._stack.enter_context(_redis(self._folder))

    @cached_property
    def postgresql(self) -> "PostgreSQL":
        return self._stack.enter_context(_postgresql(self._folder))


@dataclass(frozen=True)
class Mosquitto:
    """An MQTT broker."""

    port: int
    version: str


class Redis:
    """A Redis server; ``port`` is its own."""

    def __init__(self, port: int, version: str) -> None:
        self.port = port
        self._version = version
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._answers = self._socket.makefile("rb")

    def __str__(self) -> str:
        return f"Redis {self._version} at its defaults, no fsync for a job"

    def ask(self, *words: str) -> str:
        """Send a command whose answer is one line, and return that. Raises NotMeasured for an error."""
        self._socket.sendall((" ".join(words) + "\r\n").encode())
        answer = self._answers.readline().decode().strip()
        if answer.startswith("-"):
            raise NotMeasured(f"redis: {answer[1:]}")
        return answer[1:]

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


class PostgreSQL:
    """A PostgreSQL server that trusts everybody who reaches it; ``environ`` is how its clients find it."""

    def __init__(self, port: int, psql: Path, group: Group) -> None:
        self.port = port
        self.group = group
        self.environ = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": "postgres"}
        self.environ["PGOPTIONS"] = "--client-min-messages=warning"
        command: list[str | Path] = [psql, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        self._client = subprocess.Popen(
            command, env=environment(**self.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, query: str) -> str:
        """Run a query that finds one value, and return that. Raises NotMeasured when it finds none."""
        assert self._client.stdin is not None and self._client.stdout is not None
        try:
            self._client.stdin.write(f"{query};\n")
            self._client.stdin.flush()
        except BrokenPipeError:
            raise NotMeasured("PostgreSQL has ended") from None
        answer = str(self._client.stdout.readline()).strip()
        if not answer:
            raise NotMeasured(f"PostgreSQL did not answer: {query}")
        return answer

    @property
    def version(self) -> str:
        return self.ask("SHOW server_version").split()[0]

    @property
    def durability(self) -> str:
        """What a commit waits for."""
        return ", ".join(f"{name}={self.ask(f'SHOW {name}')}" for name in ("synchronous_commit", "fsync"))

    def url(self, database: str) -> str:
        """Return the URL of a database, as clworker takes it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        self._client.communicate()


@contextmanager
def _mosquitto(folder: Path) -> Iterator[Mosquitto]:
    port, configuration = _free_port(), folder / "mosquitto.conf"
    # As root it would become a user that cannot read the folder.
    user = pwd.getpwuid(os.geteuid()).pw_name
    configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\n")
    binary = program("mosquitto")
    command: list[str | Path] = [binary, "-c", configuration]
    with running([command], environment(), folder / "mosquitto.log") as group:
        wait_until(lambda: _accepts(port), "Mosquitto listens", group)
        yield Mosquitto(port, _version(binary, "-h"))


@contextmanager
def _redis(folder: Path) -> Iterator[Redis]:
    port = _free_port()
    binary = program("redis-server")
    command: list[str | Path] = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
    with running([command], environment(), folder / "redis.log") as group:
        wait_until(lambda: _accepts(port), "Redis listens", group)
        server = Redis(port, _version(binary, "--version"))
        try:
            yield server
        finally:
            server.close()


@contextmanager
def _postgresql(folder: Path) -> Iterator[PostgreSQL]:
    binaries = postgresql_binaries()
    port, user = _free_port(), _unprivileged()
    # Its own folder beside ours, which no other user may enter.
    home = Path(tempfile.mkdtemp(prefix="clworker-postgresql-", dir=folder.parent))
    try:
        if user is not None:
            os.chown(home, user, -1)
        data = home / "data"
        run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"],
            environment(),
            cwd=home,
            user=user,
        )
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": _CONNECTIONS,  # all else is at its defaults
        }
        command: list[str | Path] = [binaries / "postgres", "-D", data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with running([command], environment(), folder / "postgresql.log", cwd=home, user=user) as group:
            asked: list[str | Path] = [binaries / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
            wait_until(lambda: subprocess.run(asked).returncode == 0, "PostgreSQL answers", group)
            server = PostgreSQL(port, binaries / "psql", group)
            try:
                yield server
            finally:
                server.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def postgresql_binaries() -> Path:
    """Return the folder of the newest server's programs. Raises NotMeasured."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    return program("postgres").parent


def program(name: str) -> Path:
    """Return the path of a server's program. Raises NotMeasured."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotMeasured(f"not installed: {name}")
    return Path(found)


def _version(binary: Path, option: str) -> str:
    """Return the first number with dots in what a program says of itself."""
    said = subprocess.run([binary, option], capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return found[0] if found else "of unknown version"


def _unprivileged() -> int | None:
    """Return a user who may run PostgreSQL, which refuses to run as root; None when we may."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise NotMeasured("PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody'")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
