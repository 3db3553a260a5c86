"""Celery with Redis as broker and for results, at its defaults."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders.contender import BIN, AppQueue, Contender, Queue
from benchmarks.servers import Redis, Servers

# Results have a database of their own, where nothing else is counted.
_APP = """
import os
from celery import Celery

app = Celery("app", broker=os.environ["BENCH_REDIS"] + "/0", backend=os.environ["BENCH_REDIS"] + "/1")


@app.task(name="app.noop")
def noop():
    return 1


def enqueue(count):
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(count):
            noop.apply_async(producer=producer)
"""


class Celery(Contender):
    """``celery worker`` with its default pool of processes."""

    name = "Celery"
    distributions = ("celery", "redis")

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def settings(self, slots: int) -> str:
        return f"prefork pool of {slots}, acknowledged early; {self._servers.redis}; JSON"

    @contextmanager
    def open(self, folder: Path) -> Iterator[Queue]:
        self._servers.redis.ask("FLUSHALL")
        yield CeleryQueue(folder, self._servers.redis)


class CeleryQueue(AppQueue):
    """Messages in one database of Redis, results in another."""

    def __init__(self, folder: Path, redis: Redis) -> None:
        super().__init__(folder, _APP, {"BENCH_REDIS": f"redis://127.0.0.1:{redis.port}"})
        self._redis = redis

    def commands(self, slots: int) -> list[list[str | Path]]:
        return [[BIN / "celery", "--app", "app", "worker", "--concurrency", str(slots)]]

    def completed(self) -> int:
        self._redis.ask("SELECT", "1")
        return int(self._redis.ask("DBSIZE"))
