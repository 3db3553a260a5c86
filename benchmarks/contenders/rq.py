"""RQ with Redis, at its defaults: a process is forked for each job."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders.contender import BIN, AppQueue, Contender, Queue
from benchmarks.results import plural
from benchmarks.servers import Redis, Servers

_APP = """
import os
from redis import Redis
from rq import Queue


def noop():
    return 1


def enqueue(count):
    queue = Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))
    queue.enqueue_many([Queue.prepare_data("app.noop") for _ in range(count)])
"""


class Rq(Contender):
    """``rq worker``, one for each job at a time."""

    name = "RQ"
    distributions = ("rq", "redis")

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def settings(self, slots: int) -> str:
        return f"{plural(slots, 'worker')}, forking for each job; {self._servers.redis}; pickle"

    @contextmanager
    def open(self, folder: Path) -> Iterator[Queue]:
        self._servers.redis.ask("FLUSHALL")
        yield RqQueue(folder, self._servers.redis)


class RqQueue(AppQueue):
    """The default queue, and its register of finished jobs."""

    def __init__(self, folder: Path, redis: Redis) -> None:
        super().__init__(folder, _APP, {"BENCH_REDIS": f"redis://127.0.0.1:{redis.port}"})
        self._redis = redis

    def commands(self, slots: int) -> list[list[str | Path]]:
        return [[BIN / "rq", "worker", "--url", self.environ["BENCH_REDIS"]] for _ in range(slots)]

    def completed(self) -> int:
        self._redis.ask("SELECT", "0")
        return int(self._redis.ask("ZCARD", "rq:finished:default"))
