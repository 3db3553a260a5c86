"""A worker instance in a process of its own: locks, registers, claims one job, and then only waits.

Started by ``held_job``. With ``child`` as its third argument it hands its lock down to a
child that outlives it, as a supervisor does to its slots.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clworker.core.store.identity import InstanceLock, mark_started
from clworker.core.store.store import Store
from tests.support.databases import Place
from tests.support.instances import new_instance

_WAIT = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]


@dataclass(frozen=True)
class Holder:
    """The process, the instance that it is, and the pipe that ends its child when closed."""

    process: "subprocess.Popen[str]"
    instance: str

    def kill(self) -> None:
        """Kill the process as ``kill -9`` does, and see it gone."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def held_job(path: Place, worker_id: str, task_type: str, *, child: bool = False) -> Iterator[Holder]:
    """Have another process hold a job; leaving the block ends it and its child."""
    command = [sys.executable, "-m", __name__, *_words(path), worker_id, task_type, "child" if child else ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Holder(process, process.stdout.readline().strip())
        finally:
            process.kill()


def _words(place: Place) -> tuple[str, str]:
    return (f"sqlite:///{place}", str(place)) if isinstance(place, Path) else (place.url, str(place.home))


def main() -> None:
    """Hold a job until standard input is closed."""
    url, home, worker_id, task_type, child = sys.argv[1:]
    instance = new_instance(worker_id)
    lock = InstanceLock(Path(home), instance)
    store = Store(url, home=Path(home))
    store.instances.register(instance, lock.file)
    for place, claim in enumerate(store.claims.claim(instance.instance, [task_type])):
        mark_started(lock.fd, place, claim.token)
    if child:
        subprocess.Popen(_WAIT, pass_fds=[lock.fd], stdout=subprocess.DEVNULL)
    print(instance.instance, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
