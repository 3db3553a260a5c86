"""Worker instances for tests, in this process."""

from pathlib import Path

from clworker.core.models.attempts import Claim
from clworker.core.store.identity import Instance, InstanceLock, LockFile, Role, mark_started

HEARTBEAT_INTERVAL = 30.0


def new_instance(worker_id: str = "worker") -> Instance:
    """Make the identity of an instance as ``once`` has it."""
    return Instance.new(worker_id, Role.ONCE, HEARTBEAT_INTERVAL)


class Member:
    """An instance with its lock, until it dies."""

    def __init__(self, database: Path, role: Role = Role.RUN, name: str = "worker-1") -> None:
        self.instance = Instance.new(name, role, HEARTBEAT_INTERVAL)
        self.id = self.instance.instance
        self.lock = InstanceLock(database, self.instance)
        self.lock.needed_as_proof = True
        self.file: LockFile = self.lock.file
        self._starts = 0

    def start(self, claim: Claim) -> None:
        """Mark that a job has started, as its slot does."""
        mark_started(self.lock.fd, self._starts, claim.token)
        self._starts += 1

    def die(self) -> None:
        """Let go of the lock, as the kernel does for a killed process."""
        if self.lock.fd >= 0:
            self.lock.__exit__()
            self.lock.fd = -1
