"""A job as the database has it."""

from dataclasses import dataclass
from enum import StrEnum
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
