"""Puts a load on PostgreSQL from several processes, and sees what it costs the server and what is waited for."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import psycopg

from benchmarks import loops
from benchmarks.results import NotMeasured
from benchmarks.server_deployment import ServerDeployment
from benchmarks.servers import PostgreSQL

ROOT = Path(__file__).parents[2]

_PROCESSES = 4
"""Of one load: Python's threads share a lock."""
_SAMPLED = 0.05
_ACTIVITY = """
SELECT coalesce(wait_event, 'processor') FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = %s AND pid != pg_backend_pid() AND state != 'idle'"""


@dataclass(frozen=True)
class Load:
    """So many workers that do one kind of thing, as ``loops/carry.py`` knows it."""

    kind: str
    workers: int
    limit: int = 1


@dataclass
class Carried:
    """What was carried in so many seconds."""

    seconds: float
    done: list[int]
    """Operations, for each load."""
    cpu: float
    """Seconds of processor time of the whole server."""
    memory: float
    """MiB of the whole server for each of the connections."""
    waits: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Operations of the first load a second."""
        return self.done[0] / self.seconds

    @property
    def cost(self) -> float:
        """Milliseconds of the server's processor time for an operation of the first load."""
        return 1000 * self.cpu / max(1, self.done[0])

    @property
    def busy(self) -> float:
        """The server's processor time, as a part of one core."""
        return self.cpu / self.seconds

    def __str__(self) -> str:
        total = sum(self.waits.values())
        shares = [f"{name} {count / total:.0%}" for name, count in self.waits.most_common(4)] if total else []
        waited = f"; in transactions: {', '.join(shares)}" if shares else ""
        return f"{self.cost:.2f} ms of the server's processor each, {self.busy:.0%} of a core{waited}"


def carry(
    deployment: ServerDeployment, server: PostgreSQL, loads: Sequence[Load], seconds: float, *, sampled: bool = True
) -> Carried:
    """Put all loads on the server at once. Raises NotMeasured."""
    with ExitStack() as stack:
        programs = [
            (number, stack.enter_context(_program(deployment, load, f"load-{number}-{part}", workers, seconds)))
            for number, load in enumerate(loads)
            for part, workers in enumerate(_parts(load.workers))
        ]
        for _, program in programs:
            _answer(program)
        waits: Counter[str] = Counter()
        if sampled:
            stack.enter_context(_sampling(deployment.url, waits))
        before = server.group.cpu_seconds()
        for _, program in programs:
            _tell(program)
        done = [0] * len(loads)
        for number, program in programs:
            done[number] += int(_answer(program))
        cpu = server.group.cpu_seconds() - before
        return Carried(seconds, done, cpu, server.group.memory() / sum(load.workers for load in loads), waits)


def _parts(workers: int) -> list[int]:
    """Divide workers among processes."""
    count = min(workers, _PROCESSES)
    return [workers // count + (number < workers % count) for number in range(count)]


@contextmanager
def _program(
    deployment: ServerDeployment, load: Load, name: str, workers: int, seconds: float
) -> Iterator["subprocess.Popen[str]"]:
    home = deployment.folder / "media_store.db"
    words = [sys.executable, loops.CARRY, deployment.url, home, name, load.kind, workers, seconds, load.limit]
    with (deployment.folder / "load.log").open("a") as log:
        program = subprocess.Popen(
            list(map(str, words)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**deployment.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield program
    finally:
        program.communicate(timeout=60)


def _tell(program: "subprocess.Popen[str]") -> None:
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()


def _answer(program: "subprocess.Popen[str]") -> str:
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise NotMeasured("a process of the load ended")
    return line


@contextmanager
def _sampling(url: str, waits: Counter[str]) -> Iterator[None]:
    """Note what transactions are waiting for, again and again."""
    over = Event()

    def sample() -> None:
        database = url.rpartition("/")[2]
        with psycopg.connect(url.removesuffix(database) + "postgres", autocommit=True) as connection:
            while not over.wait(_SAMPLED):
                waits.update(name for (name,) in connection.execute(_ACTIVITY, (database,)))

    thread = Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
