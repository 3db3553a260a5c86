"""clworker as a user installs it: a data folder, settings, plugins, and workers as subprocesses."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import tasks
from benchmarks.processes import Group, environment, run, running
from benchmarks.rounds import wait_until

PROGRAM = Path(sys.executable).with_name("clworker")


class Installation:
    """One data folder with the database that belongs to it."""

    def __init__(self, folder: Path, broker_port: int | None = None, **variables: str) -> None:
        """Make the folder and have the program create its tables; ``variables`` are further settings."""
        self.folder = folder
        folder.mkdir(parents=True)
        broker = {"BROADCAST_TYPE": "noop"}
        if broker_port is not None:
            broker = {"BROADCAST_TYPE": "mqtt", "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(broker_port)}
        self.environ = environment(
            CL_SERVER_DIR=folder, PYTHONPATH=tasks.install(folder / "plugins"), **broker, **variables
        )
        run([PROGRAM, "jobs"], self.environ)

    @contextmanager
    def workers(self, count: int = 1, slots: int = 1, arguments: Sequence[str] = ()) -> Iterator[Group]:
        """Run workers for the time of the block, which begins when all of them take jobs."""
        commands: list[list[str | Path]] = [
            [PROGRAM, "run", "--worker-id", f"worker-{number}", "--concurrency", str(slots), *arguments]
            for number in range(count)
        ]
        log = self.folder / "workers.log"
        log.write_bytes(b"")
        with running(commands, self.environ, log) as group:
            wait_until(lambda: log.read_text().count('"worker started"') == count, "all workers have started", group)
            yield group
