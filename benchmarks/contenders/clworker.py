"""clworker itself, with a broker and without."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks import tasks
from benchmarks.contenders.contender import Contender, Queue
from benchmarks.deployment import Deployment
from benchmarks.processes import Group
from benchmarks.results import plural
from benchmarks.servers import Servers


class Clworker(Contender):
    """The worker as ``clworker run`` starts it."""

    distributions = ("clworker",)

    def __init__(self, servers: Servers | None = None) -> None:
        """With ``servers``, it publishes to Mosquitto."""
        self._servers = servers
        self.name = "clworker" if servers is None else "clworker, MQTT"

    def settings(self, slots: int) -> str:
        broker = "off" if self._servers is None else f"Mosquitto {self._servers.mosquitto.version}"
        return f"{plural(slots, 'slot')}; SQLite WAL, synchronous=FULL; broker {broker}; JSON"

    @contextmanager
    def open(self, folder: Path) -> Iterator[Queue]:
        with Deployment(folder, None if self._servers is None else self._servers.mosquitto.port) as deployment:
            yield ClworkerQueue(deployment)


class ClworkerQueue(Queue):
    """The jobs of one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def enqueue(self, count: int) -> None:
        self.deployment.begin_round()
        self.deployment.queue((tasks.NOOP, {}) for _ in range(count))

    def workers(self, slots: int) -> AbstractContextManager[Group]:
        return self.deployment.workers(slots=slots)

    def completed(self) -> int:
        return self.deployment.completed()
