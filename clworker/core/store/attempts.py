"""Closing attempts: why and how each one ended."""

from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.models.attempts import Cause, Claim, Death
from clworker.core.store.tables import attempts


def is_attempt(job_id: Any, token: Any) -> sa.ColumnElement[bool]:
    """Return the condition that finds the attempt of a claim."""
    return sa.and_(attempts.c.job_id == job_id, attempts.c.token == token)


def close_attempt(connection: sa.Connection, cause: Cause, claim: Claim) -> None:
    """Close the attempt of a claim, if it is still open, saying why it ended."""
    close_attempts(connection, cause, None, is_attempt(claim.job_id, claim.token))


def close_attempts(connection: sa.Connection, cause: Cause, death: Death | None, which: sa.ColumnElement[bool]) -> None:
    """Close open attempts, saying why and how they ended."""
    death = death or Death()
    connection.execute(
        attempts.update()
        .where(which, attempts.c.ended_at.is_(None))
        .values(
            ended_at=now_ms(),
            cause=str(cause),
            signal=death.signal,
            exit_code=death.exit_code,
            peak_memory_kib=death.peak_memory_kib,
        )
    )
