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
import os
import time

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector())


@app.task(name="noop")
async def noop():
    return 1


def enqueue(count):
    with app.open():
        noop.batch_defer(*[{} for _ in range(count)])


@app.task(name="resize")
def resize(source, target):
    from PIL import Image

    with Image.open(source) as photo:
        photo.resize((800, 600), Image.Resampling.LANCZOS).save(target, "JPEG")


def enqueue_pictures(source, folder, count):
    with app.open():
        resize.batch_defer(*[{"source": source, "target": f"{folder}/{number}.jpg"} for number in range(count)])


@app.task(name="tell")
async def tell(path):
    started = time.monotonic_ns()
    with open(f"{path}.part", "w") as file:
        file.write(str(started))
    os.rename(f"{path}.part", path)


def latencies(times, folder):
    with app.open():
        for number in range(times + 1):
            path = f"{folder}/started-{number}"
            time.sleep(0.05)
            begun = time.monotonic_ns()
            tell.defer(path=path)
            returned = time.monotonic_ns()
            while not os.path.exists(path):
                time.sleep(0.01)
            if number:
                print(begun, returned, open(path).read())
"""


class Procrastinate(Contender):
    """``procrastinate worker``."""

    name = "Procrastinate"
    distributions = ("procrastinate", "psycopg")

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def settings(self, slots: int) -> str:
        server = self._servers.postgresql
        return f"1 process, {plural(slots, 'coroutine')}; PostgreSQL {server.version}, {server.durability}; JSON"

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
