"""A worker without its slots: the same conversation with the database, and no job is run."""

from pathlib import Path

from benchmarks import tasks
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.claims import Settlement
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store

HEARTBEAT_INTERVAL = 30.0
"""Seconds; the default of MQTT_HEARTBEAT_INTERVAL."""
_DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, {"started": 0})


class Claimer:
    """A registered instance with a store of its own; close it."""

    def __init__(self, url: str, home: Path, name: str) -> None:
        """``home`` is where this machine keeps lock files: beside it."""
        self._store = Store(url, home=home)
        instance = Instance.new(name, Role.RUN, HEARTBEAT_INTERVAL)
        self._id = instance.instance
        self._lock = InstanceLock(home, instance)
        self._store.instances.register(instance, self._lock.file)
        self._held: list[Claim] = []

    def exchange(self, limit: int = 1) -> int:
        """Settle what was claimed before and claim up to ``limit`` jobs, in one transaction.

        Returns how many were settled.
        """
        settled = [Settlement(claim, lambda: _DONE) for claim in self._held]
        self._held = list(self._store.claims.exchange(settled, self._id, [tasks.NOOP], limit).claims)
        return len(settled)

    def beat(self) -> int:
        """Write a heartbeat."""
        return int(self._store.instances.beat(self._id))

    def look_around(self) -> int:
        """Look for dead workers of this machine, as each does twice a second."""
        self._store.instances.neighbours()
        return 1

    def survey(self) -> int:
        """Look after the workers of all machines."""
        self._store.instances.survey()
        return 1

    def look(self) -> int:
        """Look at the queue, as each does when it is woken."""
        self._store.claims.any_waiting([tasks.NOOP])
        return 1

    def close(self) -> None:
        """Settle what is held, end the instance and close the connections."""
        self.exchange(0)
        self._store.instances.end(self._id)
        self._lock.__exit__()
        self._store.close()
