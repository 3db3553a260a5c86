"""Several workers of one job at a time on one PostgreSQL: clworker's, and Procrastinate's."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks import tasks
from benchmarks.contenders.procrastinate import ProcrastinateQueue
from benchmarks.processes import Group, running
from benchmarks.rounds import wait_until
from benchmarks.server_deployment import ServerDeployment
from benchmarks.servers import Servers

SIZE = (800, 600)
"""Pixels to which pictures are resized."""


class Fleet(ABC):
    """A fresh queue and the workers on it."""

    @abstractmethod
    def workers(self, count: int) -> AbstractContextManager[Group]:
        """Run so many workers for the time of the block, which begins when all take jobs."""

    @abstractmethod
    def queue_noops(self, count: int) -> None:
        """Queue jobs that do nothing."""

    @abstractmethod
    def queue_pictures(self, source: Path, count: int) -> None:
        """Queue jobs that resize a photo."""

    @abstractmethod
    def completed(self) -> int:
        """Count the completed jobs, in the database."""


class ClworkerFleet(Fleet):
    """``clworker run`` with one slot each; with ``mqtt`` they publish to Mosquitto."""

    def __init__(self, deployment: ServerDeployment) -> None:
        self._deployment = deployment

    @classmethod
    @contextmanager
    def open(cls, folder: Path, servers: Servers, mqtt: bool) -> Iterator["ClworkerFleet"]:
        """Make a fresh one in a folder that does not exist yet. Raises NotMeasured."""
        port = servers.mosquitto.port if mqtt else None
        with ServerDeployment(folder, servers.postgresql, port) as deployment:
            yield cls(deployment)

    def workers(self, count: int) -> AbstractContextManager[Group]:
        return self._deployment.workers(count)

    def queue_noops(self, count: int) -> None:
        self._deployment.queue((tasks.NOOP, {}) for _ in range(count))

    def queue_pictures(self, source: Path, count: int) -> None:
        compute = self._deployment.folder / "compute"
        compute.mkdir(exist_ok=True)
        photo = compute / source.name
        photo.write_bytes(source.read_bytes())
        width, height = SIZE
        fixed = {"input_paths": [str(photo)], "width": width, "height": height, "maintain_aspect_ratio": False}
        self._deployment.queue(
            ("image_resize", {**fixed, "output_paths": [str(compute / f"{number}.jpg")]}) for number in range(count)
        )

    def completed(self) -> int:
        return self._deployment.completed()


class ProcrastinateFleet(Fleet):
    """``procrastinate worker`` with one job at a time each, at its defaults otherwise."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self._server = servers.postgresql
        self._queue = ProcrastinateQueue(folder, self._server)

    @classmethod
    @contextmanager
    def open(cls, folder: Path, servers: Servers) -> Iterator["ProcrastinateFleet"]:
        """Make a fresh one in a folder that does not exist yet. Raises NotMeasured."""
        yield cls(folder, servers)

    @contextmanager
    def workers(self, count: int) -> Iterator[Group]:
        queue = self._queue
        (command,) = queue.commands(1)
        with running([command] * count, queue.environ, queue.folder / "workers.log", cwd=queue.folder) as group:
            started = "SELECT count(*) FROM procrastinate_workers"
            wait_until(lambda: int(self._server.ask(started)) == count, "all workers have registered", group)
            yield group

    def queue_noops(self, count: int) -> None:
        self._queue.enqueue(count)

    def queue_pictures(self, source: Path, count: int) -> None:
        self._queue.call(f"enqueue_pictures({str(source)!r}, {str(self._queue.folder)!r}, {count})")

    def completed(self) -> int:
        return self._queue.completed()

    def latencies(self, times: int) -> str:
        """Queue one job after the other; return lines of three times, as ``loops/submits.py`` prints them."""
        return self._queue.call(f"latencies({times}, {str(self._queue.folder)!r})")
