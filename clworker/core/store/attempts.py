"""Closing attempts: why and how each one ended."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from clworker.core.clock import now_ms
from clworker.core.models.attempts import Cause, Claim, Death, Ending
from clworker.core.store.schema import attempts


def is_attempt(job_id: Any, token: Any) -> sa.ColumnElement[bool]:
    """Return the condition that finds the attempt of a claim."""
    return sa.and_(attempts.c.job_id == job_id, attempts.c.token == token)


_CLOSING = ("ended_at", "cause", "signal", "exit_code", "peak_memory_kib")
"""What is written of an attempt that is over."""

CLOSING_TYPES: dict[str, TypeEngine[Any]] = {
    "attempt_id": sa.BigInteger(),
    **{f"new_{name}": attempts.c[name].type for name in _CLOSING},
}


def end_attempts(given: Mapping[str, Any]) -> sa.Update:
    """Return the update that closes attempts whose claims are proven, by their numbers."""
    values = {name: given[f"new_{name}"] for name in _CLOSING}
    return attempts.update().where(attempts.c.id == given["attempt_id"]).values(values)


def closing(attempt_id: int, ending: Ending, now: int) -> dict[str, Any]:
    """Return the values with which ``end_attempts`` closes an attempt."""
    death = ending.death or Death()
    return {
        "attempt_id": attempt_id,
        "new_ended_at": now,
        "new_cause": str(ending.cause),
        "new_signal": death.signal,
        "new_exit_code": death.exit_code,
        "new_peak_memory_kib": death.peak_memory_kib,
    }


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
