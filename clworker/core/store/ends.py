"""How a run of a job ends, in its row and in that of its attempt: the changes once the claim is proven."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from clworker.core.clock import now_ms
from clworker.core.models.attempts import Claim, Death, Ending, Return
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.prepared import PreparedForRows
from clworker.core.store.schema import JobsTable
from clworker.core.store.tables import attempts


@dataclass(frozen=True, slots=True)
class Held:
    """Where the rows of a claim stand that is proven, and that nobody else changes before the commit."""

    row_id: int
    attempt_id: int


class Ends:
    """Writes the ends of several runs at once."""

    def __init__(self, jobs: JobsTable, dialect: sa.Dialect) -> None:
        self._jobs = jobs
        texts = {
            "new_output": jobs.columns[jobs.result_name].type,
            "new_message": jobs.columns.error_message.type,
        }
        self._end_jobs = PreparedForRows(self._ending_of_jobs, {**_OF_JOBS, **texts}, dialect)
        self._end_attempts = PreparedForRows(_ending_of_attempts, _OF_ATTEMPTS, dialect)

    def write(self, connection: sa.Connection, endings: Sequence[tuple[Held, Claim, Ending]]) -> None:
        """Write them, without waiting for a server."""
        now = now_ms()
        self._end_jobs.send(connection, [_end_of_job(held, claim, ending, now) for held, claim, ending in endings])
        self._end_attempts.send(connection, [_end_of_attempt(held, ending, now) for held, _, ending in endings])

    def _ending_of_jobs(self, given: Mapping[str, Any]) -> sa.Update:
        """Return the update that ends runs of jobs; NULL leaves the progress and the retries as they are."""
        columns = self._jobs.columns
        values = self._jobs.values(
            status=given["new_status"],
            progress=sa.func.coalesce(given["new_progress"], columns.progress),
            output=given["new_output"],
            error_message=given["new_message"],
            completed_at=given["new_end"],
            retry_count=sa.func.coalesce(given["new_retries"], columns.retry_count),
            updated_at=given["now"],
        )
        return self._jobs.table.update().where(columns.id == given["row_id"]).values(**values)


_OF_JOBS: dict[str, TypeEngine[Any]] = {
    "row_id": sa.BigInteger(),
    "new_status": sa.String(),
    "new_progress": sa.Integer(),
    "new_end": sa.BigInteger(),
    "new_retries": sa.Integer(),
    "now": sa.BigInteger(),
}
_CLOSING = ("ended_at", "cause", "signal", "exit_code", "peak_memory_kib")
"""What is written of an attempt that is over."""

_OF_ATTEMPTS: dict[str, TypeEngine[Any]] = {
    "attempt_id": sa.BigInteger(),
    **{f"new_{name}": attempts.c[name].type for name in _CLOSING},
}


def _ending_of_attempts(given: Mapping[str, Any]) -> sa.Update:
    values = {name: given[f"new_{name}"] for name in _CLOSING}
    return attempts.update().where(attempts.c.id == given["attempt_id"]).values(values)


def _end_of_job(held: Held, claim: Claim, ending: Ending, now: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"row_id": held.row_id, "now": now}
    if isinstance(ending, Return):
        retries = claim.job.retry_count + 1 if ending.counted else None
        return fields | {
            "new_status": str(ComputeJobStatus.QUEUED),
            "new_progress": 0,
            "new_output": None,
            "new_message": None,
            "new_end": None,
            "new_retries": retries,
        }
    return fields | {
        "new_status": str(ending.status),
        "new_progress": 100 if ending.status is ComputeJobStatus.COMPLETED else None,
        "new_output": ending.output,
        "new_message": ending.error_message,
        "new_end": max(now, claim.started_at),
        "new_retries": None,
    }


def _end_of_attempt(held: Held, ending: Ending, now: int) -> dict[str, Any]:
    death = ending.death or Death()
    return {
        "attempt_id": held.attempt_id,
        "new_ended_at": now,
        "new_cause": str(ending.cause),
        "new_signal": death.signal,
        "new_exit_code": death.exit_code,
        "new_peak_memory_kib": death.peak_memory_kib,
    }
