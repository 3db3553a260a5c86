"""What is asked for: a job to be queued, and which jobs are meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job as a user asks for it; ``output_dir`` None means the job's own folder.

    ``texts`` are parameters as they were typed, for the task's schema to make sense of.
    """

    task_type: str
    inputs: tuple[Path, ...]
    texts: Mapping[str, str]
    output_dir: Path | None
    priority: int


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None means any. ``since_ms`` is Unix milliseconds of creation."""

    status: str | None = None
    task_type: str | None = None
    since_ms: int | None = None
    worker_id: str | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class PurgeFilter:
    """Which jobs to purge: in one of these statuses, and ended before a moment in Unix milliseconds."""

    statuses: Sequence[str]
    before_ms: int
    task_type: str | None = None
