"""The values that the parts of clworker hand to each other. Frozen, and free of I/O."""

import signal as signals
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

LARGEST_JSON = 4 << 20
"""Bytes of JSON in one column: to decode the most crowded ones of this size holds a process up for 0.5 s."""
HIGHEST_PRIORITY = 10
"""Of the API; the lowest is 0, the normal one 5."""
CANCELLED = "cancelled"
"""The message of a job that an operator has ended; cli.md fixes it."""


class ComputeJobStatus(StrEnum):
    """The words of the column ``jobs.status``; contract.md fixes them."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ComputeJob:
    """One row of ``jobs`` in the names of the current generation, whatever the database's is.

    Times are Unix milliseconds. A column that the database does not have is None.
    ``params`` and ``output`` are decoded JSON; text that is not JSON stays text.
    """

    job_id: str
    task_type: str
    status: str
    progress: int
    priority: int | None
    params: Any
    output: Any
    error_message: str | None
    created_at: int
    started_at: int | None
    completed_at: int | None
    updated_at: int | None
    retry_count: int
    max_retries: int
    created_by: str | None

    def claimed(self, started_at: int, updated_at: int | None) -> "ComputeJob":
        """Return the job as it stands once it is claimed."""
        # Not by dataclasses.replace, which costs as much as all else that a claim does in this process.
        return ComputeJob(
            job_id=self.job_id,
            task_type=self.task_type,
            status=ComputeJobStatus.PROCESSING.value,
            progress=0,
            priority=self.priority,
            params=self.params,
            output=None,
            error_message=None,
            created_at=self.created_at,
            started_at=started_at,
            completed_at=None,
            updated_at=updated_at,
            retry_count=self.retry_count,
            max_retries=self.max_retries,
            created_by=self.created_by,
        )

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job unless somebody asks for it."""
        return self.status in (ComputeJobStatus.COMPLETED, ComputeJobStatus.ERROR)

    @property
    def seconds(self) -> float | None:
        """How long the last run took, by the two times in the row."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(0, self.completed_at - self.started_at) / 1000


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is about to be queued."""

    job_id: str
    task_type: str
    params: dict[str, Any]
    priority: int = 5
    max_retries: int = 3
    created_by: str | None = None


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
class TaskStatistics:
    """How the jobs of one task type stand. Durations are milliseconds; None where nothing was measured.

    ``other`` counts jobs in a status that is none of the contract's. The percentiles are of
    the ``sample`` newest finished jobs that have run: ``waiting`` from creation to the start
    of the last run, ``running`` from there to the end.
    """

    task_type: str
    queued: int
    processing: int
    completed: int
    error: int
    other: int
    oldest_queued_ms: int | None
    oldest_queued: str | None
    sample: int
    waiting_p50_ms: int | None
    waiting_p90_ms: int | None
    waiting_p99_ms: int | None
    running_p50_ms: int | None
    running_p90_ms: int | None
    running_p99_ms: int | None


@dataclass(frozen=True, slots=True)
class PurgeFilter:
    """Which jobs to purge: in one of these statuses, and ended before a moment in Unix milliseconds."""

    statuses: Sequence[str]
    before_ms: int
    task_type: str | None = None


@dataclass(slots=True)
class PurgeReport:
    """What a purge has removed until now, or would remove. ``bytes`` is the size of the files.

    ``orphans`` are those of the ``folders`` that belonged to no job.
    """

    dry_run: bool
    rows: int = 0
    folders: int = 0
    orphans: int = 0
    bytes: int = 0
    faults: list[str] = field(default_factory=list)
    """What could not be removed, and why."""


class Cause(StrEnum):
    """Why an attempt ended; kept in ``clworker_attempts.cause``."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIME_LIMIT = "time-limit"
    MEMORY_LIMIT = "memory-limit"
    DIED = "died"
    OUT_OF_MEMORY = "out-of-memory"
    STOPPED = "stopped"
    NEVER_STARTED = "never-started"
    RESCUED = "rescued"
    SUPERSEDED = "superseded"
    TAKEOVER = "takeover"
    CANCELLED = "cancelled"
    RETRIED = "retried"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one job, held by an open attempt.

    ``token`` and ``started_at`` together are the fence: a write that cannot prove both is
    refused. ``started_at`` is the witness against programs that know no token, since every
    one of them sets that column when it claims. ``older_tokens`` name the folders that
    earlier attempts may have left behind.
    """

    job: ComputeJob
    token: str
    started_at: int
    older_tokens: tuple[str, ...] = ()

    @property
    def job_id(self) -> str:
        return self.job.job_id

    @property
    def attempt(self) -> int:
        """Which attempt at the job this is, from 1, by those that counted."""
        return self.job.retry_count + 1


@dataclass(frozen=True, slots=True)
class Death:
    """How a slot ended that nobody had asked to end."""

    signal: int | None = None
    exit_code: int | None = None
    peak_memory_kib: int | None = None
    out_of_memory: bool = False
    """Whether it was the kernel that killed it, for want of memory."""

    def __str__(self) -> str:
        """Say it for people, as what the process did: ``was killed by SIGSEGV at 310 MiB``."""
        if self.signal is not None:
            why = " (out of memory)" if self.out_of_memory else ""
            how = f"was killed by {signal_name(self.signal)}{why}"
        elif self.exit_code is not None:
            how = f"ended with exit code {self.exit_code}"
        else:
            how = "vanished"
        memory = f" at {self.peak_memory_kib // 1024} MiB" if self.peak_memory_kib else ""
        return how + memory


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is recorded about an attempt that decides the job."""

    status: ComputeJobStatus
    cause: Cause
    output: Any = None
    error_message: str | None = None
    death: Death | None = None

    @classmethod
    def failed(cls, message: str, cause: Cause = Cause.FAILED, death: Death | None = None) -> "Outcome":
        """Build the outcome of a job that ends in ``error``."""
        return cls(ComputeJobStatus.ERROR, cause, error_message=message, death=death)


@dataclass(frozen=True, slots=True)
class Return:
    """The job of an attempt goes back to the queue; ``counted`` costs it one of its retries."""

    cause: Cause
    counted: bool = False
    death: Death | None = None


Ending = Outcome | Return
"""How an attempt ends, if its claim is still held."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job, as ``clworker_attempts`` remembers it. Times are Unix milliseconds."""

    token: str
    worker_id: str | None
    instance: str
    host: str | None
    started_at: int
    handed_at: int | None
    ended_at: int | None
    cause: str | None
    signal: int | None
    exit_code: int | None
    peak_memory_kib: int | None


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


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9, and ``signal 77`` for a number without a name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
