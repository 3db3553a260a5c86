"""A process that holds an instance's lock, as a worker does until it is killed, and nothing else of one.

With ``child`` it hands the lock down to a child that outlives it, as a supervisor does to its slots.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clworker.core.store.store import Store
from tests.support.instances import Member

_WAIT = "import sys; sys.stdin.read()"
_HOLD = """
import subprocess, sys
fd, wait, child = sys.argv[1:]
if child:
    subprocess.Popen([sys.executable, "-S", "-c", wait], pass_fds=[int(fd)], stdout=subprocess.DEVNULL)
print("holding", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Holder:
    """The process, the instance whose lock it holds, and the pipe that ends its child when closed."""

    process: "subprocess.Popen[str]"
    instance: str

    def kill(self) -> None:
        """Kill the process as ``kill -9`` does, and see it gone."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def held_job(store: Store, worker_id: str, task_type: str, *, child: bool = False) -> Iterator[Holder]:
    """Register an instance that holds a job and lives in another process; leaving the block ends that and its child."""
    member = Member(store.database.home, name=worker_id)
    store.instances.register(member.instance, member.file)
    for claim in store.claims.claim(member.id, [task_type]):
        member.start(claim)
    fd = member.lock.fd
    command = [sys.executable, "-S", "-c", _HOLD, str(fd), _WAIT, "child" if child else ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[fd]) as process:
        member.die()  # here; the lock is the other process's now
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "holding\n"
            yield Holder(process, member.id)
        finally:
            process.kill()
