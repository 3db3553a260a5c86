"""An attempt at a job: the claim that opens it, and how it ends."""

import signal as signals
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clworker.core.models.jobs import ComputeJob, ComputeJobStatus


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
    INPUT_MISSING = "input-missing"
    FORGOTTEN = "forgotten"


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


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9, and ``signal 77`` for a number without a name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
