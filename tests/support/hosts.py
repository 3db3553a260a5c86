"""Several hosts on this machine: network namespaces with links between them that can be cut.

Two networks, each a bridge in the namespace of its server: one leads to PostgreSQL, one to
Mosquitto. Every host has a link to both, a name and a boot id of its own, and perhaps a
clock that is wrong. Nothing of the machine's own network is touched.
"""

import ctypes
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.broker import Broker, missing
from tests.support.postgres import Place, Server
from tests.support.program import Program
from tests.support.watcher import Watcher

_NETWORK_NAMESPACE = 0x40000000
_BROKER_PORT = 1883
_AS_ANOTHER_HOST = (
    'mount --bind "$1" /proc/sys/kernel/random/boot_id && hostname "$2" && ip link set lo up && shift 2 && exec "$@"'
)
_WRONG_CLOCK = """import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {seconds}
time.time_ns = lambda: _time_ns() + {seconds} * 1_000_000_000
"""
"""Run at the start of each Python. (libfaketime makes Python's ``time.sleep`` fail; Linux has no namespace of this.)"""

_PATIENCE = {"connect_timeout": "2", "tcp_user_timeout": "3000"}
"""Seconds and milliseconds after which a connection counts as broken: less than by default, for the tests' time."""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


class Namespace:
    """A network namespace, removed at the end."""

    def __init__(self, name: str) -> None:
        self.name = f"clw{os.getpid()}-{name}"

    def __enter__(self) -> "Namespace":
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        return self

    def __exit__(self, *_failure: object) -> None:
        _ip("netns", "del", self.name)

    def ip(self, *words: str) -> None:
        """Run ``ip`` inside."""
        _ip("-n", self.name, *words)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread, and what it starts, be inside for the time of the block."""
        with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", self.name).open() as inside:
            _set_namespace(inside.fileno())
            try:
                yield
            finally:
                _set_namespace(home.fileno())


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _NETWORK_NAMESPACE) != 0:
        raise OSError(ctypes.get_errno(), "setns failed")


class Network:
    """A bridge with a server on it; its address ends with 1, and those of the hosts go on from 2."""

    def __init__(self, namespace: Namespace, prefix: str) -> None:
        self.namespace = namespace
        self.prefix = prefix
        self._hosts = 1
        namespace.ip("link", "add", "bridge", "type", "bridge")
        namespace.ip("address", "add", f"{prefix}.1/24", "dev", "bridge")
        namespace.ip("link", "set", "bridge", "up")

    @property
    def address(self) -> str:
        """The server's address."""
        return f"{self.prefix}.1"

    def attach(self, host: Namespace, link: str) -> "Link":
        """Lead a link from a host to the bridge."""
        self._hosts += 1
        here = f"to{self._hosts}"
        self.namespace.ip("link", "add", here, "type", "veth", "peer", "name", link, "netns", host.name)
        self.namespace.ip("link", "set", here, "master", "bridge")
        host.ip("address", "add", f"{self.prefix}.{self._hosts}/24", "dev", link)
        host.ip("link", "set", link, "up")
        made = Link(self.namespace, here)
        made.mend()
        return made


@dataclass(frozen=True)
class Link:
    """A cable. What is sent while it is cut vanishes; nobody is told."""

    bridge: Namespace
    name: str

    def cut(self) -> None:
        """Pull it."""
        self.bridge.ip("link", "set", self.name, "down")

    def mend(self) -> None:
        """Plug it in again."""
        self.bridge.ip("link", "set", self.name, "up")


@dataclass(frozen=True)
class Host:
    """A machine with its own data folder, from which the program is run."""

    name: str
    program: Program
    database: Link
    broker: Link

    def cut(self) -> None:
        """Cut it off from everything."""
        self.database.cut()
        self.broker.cut()


class Site:
    """PostgreSQL, Mosquitto, and as many hosts as a test wants."""

    def __init__(self, folder: Path) -> None:
        for program in ("ip", "unshare"):
            if shutil.which(program) is None:
                missing(program)
        if os.geteuid() != 0:
            pytest.skip("only root can make network namespaces")
        self._folder = folder
        self._databases = 0

    def __enter__(self) -> "Site":
        with ExitStack() as self._stack:  # whatever fails, what was made until then is removed
            self._data = Network(self._stack.enter_context(Namespace("data")), "10.77.1")
            self._talk = Network(self._stack.enter_context(Namespace("talk")), "10.77.2")
            self._server = self._start_server()
            self._broker = self._start_broker()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.close()

    def fresh(self) -> Place:
        """Make a database; the place leads to it from where the tests are."""
        self._databases += 1
        name = f"hosts_{self._databases}"
        with self._data.namespace.entered():
            self._server.execute(f"CREATE DATABASE {name}")
        url = f"postgresql://postgres@/{name}?host={self._sockets}&port={self._server.port}"
        return Place(url, self._folder / "media_store.db")

    @contextmanager
    def watcher(self, *topics: str) -> Iterator[Watcher]:
        """Watch the broker, from beside it."""
        watcher = Watcher(self._broker.port, *topics)
        with self._talk.namespace.entered():
            watcher.__enter__()
        try:
            yield watcher
        finally:
            watcher.__exit__()

    @contextmanager
    def host(
        self, name: str, place: Place, folder: Path, environ: dict[str, str], clock_is_ahead: int = 0
    ) -> Iterator[Host]:
        """Make a host whose program uses this database; its wall clock is ahead by so many seconds."""
        with Namespace(name) as namespace:
            database, broker = self._data.attach(namespace, "data"), self._talk.attach(namespace, "talk")
            boot_id = folder / f"{name}-boot-id"
            boot_id.write_text(f"{uuid.uuid4()}\n")
            clock = folder / f"{name}-clock"
            clock.mkdir()
            (clock / "sitecustomize.py").write_text(_WRONG_CLOCK.format(seconds=clock_is_ahead))
            words = ("unshare", "--mount", "--uts", "sh", "-c", _AS_ANOTHER_HOST, "sh", str(boot_id), name)
            program = Program(
                folder / f"{name}-server",
                {
                    "DATABASE_URL": self._url(place),
                    "BROADCAST_TYPE": "mqtt",
                    "MQTT_BROKER": self._talk.address,
                    "MQTT_PORT": str(_BROKER_PORT),
                    **environ,
                    "PYTHONPATH": f"{clock}:{environ.get('PYTHONPATH', '')}",
                },
                prefix=("ip", "netns", "exec", namespace.name, *words),
            )
            yield Host(name, program, database, broker)

    def _url(self, place: Place) -> str:
        name = place.url.partition("?")[0].rpartition("/")[2]
        options = "&".join("=".join(item) for item in _PATIENCE.items())
        return f"postgresql://postgres@{self._data.address}:{self._server.port}/{name}?{options}"

    def _start_server(self) -> Server:
        server = Server()
        self._stack.callback(server.remove)
        with (server.data / "pg_hba.conf").open("a") as access:
            access.write(f"host all all {self._data.prefix}.0/24 trust\n")
        self._sockets = str(server.data.parent)
        with self._data.namespace.entered():
            return server.start(
                listen_addresses=f"127.0.0.1,{self._data.address}", unix_socket_directories=self._sockets
            )

    def _start_broker(self) -> Broker:
        broker = Broker(self._folder, further=(f"listener {_BROKER_PORT} {self._talk.address}",))
        self._stack.callback(broker.stop)
        with self._talk.namespace.entered():
            return broker.start()
