"""The queue: which jobs are next, and how they are taken from it within a transaction."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.models import Cause, Claim, ComputeJob, ComputeJobStatus
from clworker.core.store.rows import LARGEST_WHOLE, job_of, whole
from clworker.core.store.schema import JobsTable, attempts

_NAMELESS = "the job's id is no text: no program can name the job, and none can run it"

Choice = Callable[[Sequence[ComputeJob]], int]
"""Tells how many of the next jobs, from the first on, are to be claimed."""


class Queue:
    """The queued jobs, in the order of claiming."""

    def __init__(self, jobs: JobsTable) -> None:
        self._jobs = jobs
        self._probes: dict[int, sa.CompoundSelect[Any]] = {}
        columns = jobs.columns
        self._older = (
            sa.select(attempts.c.job_id, attempts.c.token)
            .where(attempts.c.job_id.in_(sa.bindparam("job_ids", expanding=True)))
            .order_by(attempts.c.id)
        )
        self._supersede = (
            attempts.update()
            .where(attempts.c.job_id.in_(sa.bindparam("job_ids", expanding=True)), attempts.c.ended_at.is_(None))
            .values(ended_at=sa.bindparam("now"), cause=str(Cause.SUPERSEDED))
        )
        self._end = jobs.table.update().where(columns.id == sa.bindparam("row_id"))
        self._take = self._end.values(
            **jobs.values(
                status=str(ComputeJobStatus.PROCESSING),
                progress=0,
                started_at=sa.bindparam("witness"),
                completed_at=None,
                output=None,
                error_message=None,
                updated_at=sa.bindparam("now"),
            )
        )

    def is_empty(self, connection: sa.Connection, task_types: Iterable[str]) -> bool:
        """Tell whether no job of these types waits."""
        return not self._next_rows(connection, task_types, 1)

    def take(
        self, connection: sa.Connection, instance: str, task_types: Sequence[str], limit: int, choose: Choice
    ) -> list[Claim]:
        """Claim the best jobs for an instance: as many as it chooses of up to ``limit``."""
        while rows := self._next_rows(connection, task_types, limit):
            if named := [row for row in rows if self._has_name(connection, row)]:
                jobs = [job_of(row) for row in named]
                chosen = list(zip(named, jobs, strict=True))[: choose(jobs)]
                return self._open_attempts(connection, instance, chosen) if chosen else []
        return []

    def _next_rows(self, connection: sa.Connection, task_types: Iterable[str], limit: int) -> list[sa.Row[Any]]:
        wanted = list(dict.fromkeys(task_types))
        if not wanted:
            return []
        values = {f"task_type_{number}": task_type for number, task_type in enumerate(wanted)}
        found = list(connection.execute(self._probe(len(wanted)), {**values, "limit": limit}))
        found.sort(key=_claim_key)
        return found[:limit]

    def _probe(self, types: int) -> sa.CompoundSelect[Any]:
        """Return the query for the first jobs of so many task types: one look into the index for each."""
        if types not in self._probes:
            columns = self._jobs.columns
            each = [
                sa.select(columns.id, *self._jobs.selected())
                .where(
                    # The literal lets SQLite prove that the partial index fits.
                    columns.status == sa.literal_column("'queued'"),
                    columns.task_type == sa.bindparam(f"task_type_{number}"),
                    columns.job_id.is_not(None),
                )
                .order_by(*self._jobs.claim_order())
                .limit(sa.bindparam("limit"))
                .subquery(f"type_{number}")
                for number in range(types)
            ]
            self._probes[types] = sa.union_all(*map(sa.select, each))
        return self._probes[types]

    def _has_name(self, connection: sa.Connection, row: sa.Row[Any]) -> bool:
        """Tell whether the job can be found by the id that we read; one that cannot ends in ``error``."""
        if isinstance(row.job_id, str):
            # What is no UTF-8 was read with replacement characters, which are no longer what stands there.
            if "\N{REPLACEMENT CHARACTER}" not in row.job_id:
                return True
            if connection.scalar(self._jobs.with_id(row.job_id).with_only_columns(self._jobs.columns.id)) == row.id:
                return True
        ended = {"status": str(ComputeJobStatus.ERROR), "error_message": _NAMELESS, "completed_at": now_ms()}
        connection.execute(self._end, {"row_id": row.id, **ended})
        return False

    def _open_attempts(
        self, connection: sa.Connection, instance: str, chosen: Sequence[tuple[sa.Row[Any], ComputeJob]]
    ) -> list[Claim]:
        now = now_ms()
        older = self._end_older_attempts(connection, [job.job_id for _, job in chosen], now)
        claims = [self._claim(job, now, tuple(older.get(job.job_id, ()))) for _, job in chosen]
        connection.execute(
            self._take,
            [
                {"row_id": row.id, "witness": claim.started_at, "now": now}
                for (row, _), claim in zip(chosen, claims, strict=True)
            ],
        )
        connection.execute(
            attempts.insert(),
            [
                {
                    "job_id": claim.job_id,
                    "instance": instance,
                    "token": claim.token,
                    "started_at": claim.started_at,
                    "handed_at": now,
                }
                for claim in claims
            ],
        )
        return claims

    def _end_older_attempts(self, connection: sa.Connection, job_ids: Sequence[str], now: int) -> dict[str, list[str]]:
        """Close what is still open of earlier attempts; return the tokens of all, by job."""
        older: dict[str, list[str]] = {}
        for row in connection.execute(self._older, {"job_ids": job_ids}):
            older.setdefault(row.job_id, []).append(row.token)
        if older:
            connection.execute(self._supersede, {"job_ids": list(older), "now": now})
        return older

    def _claim(self, job: ComputeJob, now: int, older: tuple[str, ...]) -> Claim:
        # Strictly later than any earlier claim, even when the clock went back.
        before = job.started_at or 0
        started_at = max(now, before + 1) if before < LARGEST_WHOLE else now
        held = replace(
            job,
            status=str(ComputeJobStatus.PROCESSING),
            progress=0,
            started_at=started_at,
            completed_at=None,
            output=None,
            error_message=None,
            updated_at=now if "updated_at" in self._jobs.columns else None,
        )
        return Claim(held, secrets.token_hex(8), started_at, older)


def _claim_key(row: Any) -> tuple[int, int, int]:
    return (-(whole(row.priority) or 0), whole(row.created_at) or 0, row.id)
