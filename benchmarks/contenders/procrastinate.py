"""Procrastinate with PostgreSQL, at its defaults: jobs are coroutines of one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders.contender import BIN, AppQueue, Contender, Queue
from benchmarks.processes import run
from benchmarks.results import plural
from benchmarks.servers import PostgreSQL, Servers

# The connection's parameters come from PGHOST and so on.
_APP = """
from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector())


@app.task(name="noop")
async def noop():
    return 1


def enqueue(count):
    with app.open():
        noop.batch_defer(*[{} for _ in range(count)])
"""


class Procrastinate(Contender):
    """``procrastinate worker``."""

    name = "Procrastinate"
    distributions = ("procrastinate", "psycopg")

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def settings(self, slots: int) -> str:
        server = self._servers.postgresql
        durability = ", ".join(f"{name}={server.ask(f'SHOW {name}')}" for name in ("synchronous_commit", "fsync"))
        return f"1 process, {plural(slots, 'coroutine')}; PostgreSQL {server.version}, {durability}; JSON"

    @contextmanager
    def open(self, folder: Path) -> Iterator[Queue]:
        yield ProcrastinateQueue(folder, self._servers.postgresql)


class ProcrastinateQueue(AppQueue):
    """A schema made anew."""

    def __init__(self, folder: Path, server: PostgreSQL) -> None:
        super().__init__(folder, _APP, server.environ)
        self._server = server
        server.ask("DROP SCHEMA public CASCADE; CREATE SCHEMA public; SELECT 1")
        run([*self._procrastinate(), "schema", "--apply"], self.environ, cwd=folder)

    def commands(self, slots: int) -> list[list[str | Path]]:
        return [[*self._procrastinate(), "worker", "--concurrency", str(slots)]]

    def completed(self) -> int:
        return int(self._server.ask("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"))

    @staticmethod
    def _procrastinate() -> list[str | Path]:
        return [BIN / "procrastinate", "--app", "app.app"]
