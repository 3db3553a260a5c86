"""A worker as the database and the broker know it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker instance as the database knows it; ``alive`` None means that nothing proves it."""

    instance: str
    worker_id: str
    role: str
    host: str
    pid: int
    started_at: int
    heartbeat: int
    heartbeat_interval_ms: int
    running: int
    alive: bool | None

    def __str__(self) -> str:
        """Say it for people: ``worker 'w' on host h (pid 7)``."""
        return f"worker {self.worker_id!r} on host {self.host} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker, as database and broker know it; what a side does not know is None."""

    worker_id: str
    role: str | None
    host: str | None
    pid: int | None
    started_at: int | None
    alive: bool | None
    running: int | None
    capabilities: Sequence[str] | None
    idle_count: int | None
    timestamp: int | None
    note: str | None
