"""Claims: who may run a job, and the only ways in which a claim begins and ends.

Every write after a claim demands its token, whose attempt must be open, and its witness:
``status = 'processing' AND started_at`` as we set it. Programs that know no token set
``started_at`` when they claim, so a job that was reset and taken by one of them is safe
from us.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.errors import ClaimLost, InstanceEnded
from clworker.core.models import Cause, Claim, ComputeJob, ComputeJobStatus, Death, Outcome
from clworker.core.store.database import Database
from clworker.core.store.schema import JobsTable, attempts, instances, job_of


class Claims:
    """The state machine of jobs, over one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs
        columns = jobs.columns
        # The literal lets SQLite prove that the partial index fits.
        self._probe = (
            sa.select(columns.id, *jobs.claim_order())
            .where(
                columns.status == sa.literal_column("'queued'"),
                columns.task_type == sa.bindparam("task_type"),
                columns.job_id.is_not(None),
            )
            .order_by(*jobs.claim_order())
            .limit(sa.bindparam("limit"))
        )
        self._row = sa.select(*jobs.selected()).where(columns.id == sa.bindparam("row_id"))

    def claim(self, instance: str, task_types: Sequence[str], limit: int = 1) -> list[Claim]:
        """Claim up to ``limit`` queued jobs of these types for idle slots, best first.

        The jobs count as handed to a slot from here on. Raises InstanceEnded when this
        instance was ended by another, and StoreUnavailable.
        """
        if not self.any_waiting(task_types):
            return []
        with self._database.write() as connection:
            _see_that_it_lives(connection, instance)
            return [
                self._open_attempt(connection, instance, row_id)
                for row_id in self._next_rows(connection, task_types, limit)
            ]

    def any_waiting(self, task_types: Sequence[str]) -> bool:
        """Tell whether a job of these types is queued, without locking anybody out."""
        with self._database.read() as connection:
            return bool(self._next_rows(connection, task_types, 1))

    def progress(self, claim: Claim, percent: int) -> None:
        """Write a running job's progress, 0 to 99. Raises ClaimLost, StoreUnavailable."""
        self.amend(claim, progress=percent)

    def amend(self, claim: Claim, **fields: Any) -> None:
        """Write fields of a job that goes on running. Raises ClaimLost, StoreUnavailable."""
        with self._database.write() as connection:
            self._prove(connection, claim)
            self._update(connection, claim, **fields)

    def finish(self, claim: Claim, outcome: Outcome, place_outputs: Callable[[], None] = lambda: None) -> None:
        """Record the outcome; ``place_outputs`` runs between the proof of the claim and the commit.

        Nobody else can claim the job in between, so a late finisher changes neither row nor
        file. What ``place_outputs`` raises undoes the transaction. Raises ClaimLost,
        StoreUnavailable.
        """
        with self._database.write() as connection:
            self._prove(connection, claim)
            place_outputs()
            done = outcome.status is ComputeJobStatus.COMPLETED
            self._update(
                connection,
                claim,
                status=str(outcome.status),
                output=outcome.output,
                error_message=outcome.error_message,
                completed_at=max(now_ms(), claim.started_at),
                **({"progress": 100} if done else {}),
            )
            _close_attempts(connection, outcome.cause, outcome.death, attempts.c.token == claim.token)

    def give_back(self, claim: Claim, cause: Cause, *, counted: bool, death: Death | None = None) -> None:
        """Return the job to the queue; ``counted`` costs it one of its retries.

        Raises ClaimLost, StoreUnavailable.
        """
        with self._database.write() as connection:
            self._prove(connection, claim)
            retries = {"retry_count": claim.job.retry_count + 1} if counted else {}
            self._update(connection, claim, status=str(ComputeJobStatus.QUEUED), progress=0, **retries)
            _close_attempts(connection, cause, death, attempts.c.token == claim.token)

    def rescue(self, instance: str) -> list[ComputeJob]:
        """Take the jobs of a dead instance from it; return them as they now stand.

        A job that had started costs a retry, and ends in ``error`` when none is left. The
        caller has proven the death. Raises StoreUnavailable.
        """
        rescued = []
        with self._database.write() as connection:
            for claim, started in self._open_claims(connection, instance):
                rescued.append(self._rescue_one(connection, claim, started))
            _close_attempts(connection, Cause.SUPERSEDED, None, attempts.c.instance == instance)
        return rescued

    def take_over(self, instance: str) -> list[ComputeJob]:
        """End an instance in favour of another; its jobs go back to the queue uncounted.

        Returns them as they now stand. Raises StoreUnavailable.
        """
        with self._database.write() as connection:
            claims = [claim for claim, _ in self._open_claims(connection, instance)]
            for claim in claims:
                self._update(connection, claim, status=str(ComputeJobStatus.QUEUED), progress=0)
            freed = [self._job(connection, claim.job_id) for claim in claims]
            _close_attempts(connection, Cause.TAKEOVER, None, attempts.c.instance == instance)
            connection.execute(instances.update().where(instances.c.instance == instance).values(ended_at=now_ms()))
        return freed

    def _next_rows(self, connection: sa.Connection, task_types: Iterable[str], limit: int) -> list[int]:
        found = [
            row
            for task_type in dict.fromkeys(task_types)
            for row in connection.execute(self._probe, {"task_type": task_type, "limit": limit}).all()
        ]
        found.sort(key=_claim_key)
        return [row.id for row in found[:limit]]

    def _open_attempt(self, connection: sa.Connection, instance: str, row_id: int) -> Claim:
        job = job_of(connection.execute(self._row, {"row_id": row_id}).one())
        now = now_ms()
        # Strictly later than any earlier claim, even when the clock went back.
        started_at = max(now, (job.started_at or 0) + 1)
        older = connection.scalars(
            sa.select(attempts.c.token).where(attempts.c.job_id == job.job_id).order_by(attempts.c.id)
        ).all()
        if older:
            _close_attempts(connection, Cause.SUPERSEDED, None, attempts.c.job_id == job.job_id)
        claimed: dict[str, Any] = {
            "status": str(ComputeJobStatus.PROCESSING),
            "progress": 0,
            "started_at": started_at,
            "completed_at": None,
            "output": None,
            "error_message": None,
            "updated_at": now,
        }
        values = self._jobs.values(**claimed)
        connection.execute(self._jobs.table.update().where(self._jobs.columns.id == row_id).values(**values))
        token = secrets.token_hex(8)
        connection.execute(
            attempts.insert().values(
                job_id=job.job_id, instance=instance, token=token, started_at=started_at, handed_at=now
            )
        )
        claimed_job = job_of(connection.execute(self._row, {"row_id": row_id}).one())
        return Claim(claimed_job, token, started_at, tuple(older))

    def _open_claims(self, connection: sa.Connection, instance: str) -> list[tuple[Claim, bool]]:
        rows = connection.execute(
            sa.select(attempts.c.token, attempts.c.started_at, attempts.c.handed_at, attempts.c.job_id).where(
                attempts.c.instance == instance, attempts.c.ended_at.is_(None)
            )
        ).all()
        claims = []
        for row in rows:
            job = connection.execute(
                sa.select(*self._jobs.selected()).where(
                    self._jobs.columns.job_id == row.job_id,
                    self._jobs.columns.status == str(ComputeJobStatus.PROCESSING),
                    self._jobs.columns.started_at == row.started_at,
                )
            ).one_or_none()
            if job is not None:
                claims.append((Claim(job_of(job), row.token, row.started_at), row.handed_at is not None))
        return claims

    def _rescue_one(self, connection: sa.Connection, claim: Claim, started: bool) -> ComputeJob:
        job = claim.job
        if started and job.retry_count >= job.max_retries:
            message = f"the worker died while it ran the job, attempt {claim.attempt} of {job.max_retries + 1}"
            self._update(
                connection,
                claim,
                status=str(ComputeJobStatus.ERROR),
                error_message=message,
                completed_at=max(now_ms(), claim.started_at),
            )
        else:
            retries = {"retry_count": job.retry_count + 1} if started else {}
            self._update(connection, claim, status=str(ComputeJobStatus.QUEUED), progress=0, **retries)
        _close_attempts(connection, Cause.RESCUED, None, attempts.c.token == claim.token)
        return self._job(connection, job.job_id)

    def _job(self, connection: sa.Connection, job_id: str) -> ComputeJob:
        row = sa.select(*self._jobs.selected()).where(self._jobs.columns.job_id == job_id)
        return job_of(connection.execute(row).one())

    def _prove(self, connection: sa.Connection, claim: Claim) -> None:
        ours = (
            sa.select(attempts.c.id)
            .join(self._jobs.table, self._jobs.columns.job_id == attempts.c.job_id)
            .where(attempts.c.token == claim.token, attempts.c.ended_at.is_(None), *self._witness(claim))
        )
        if connection.scalar(ours) is None:
            raise ClaimLost(f"the claim on job {claim.job_id} is gone; what this attempt did is not recorded")

    def _update(self, connection: sa.Connection, claim: Claim, **fields: Any) -> None:
        values = self._jobs.values(updated_at=now_ms(), **fields)
        if values:
            connection.execute(self._jobs.table.update().where(*self._witness(claim)).values(**values))

    def _witness(self, claim: Claim) -> list[sa.ColumnElement[bool]]:
        columns = self._jobs.columns
        return [
            columns.job_id == claim.job_id,
            columns.status == str(ComputeJobStatus.PROCESSING),
            columns.started_at == claim.started_at,
        ]


def _see_that_it_lives(connection: sa.Connection, instance: str) -> None:
    ended_at = sa.select(instances.c.ended_at).where(instances.c.instance == instance)
    if connection.scalar(ended_at) is not None:
        raise InstanceEnded(f"this worker (instance {instance}) was ended by another that took over its name")


def _claim_key(row: Any) -> tuple[int, int, int]:
    return (-(getattr(row, "priority", 0) or 0), row.created_at, row.id)


def _close_attempts(
    connection: sa.Connection, cause: Cause, death: Death | None, which: sa.ColumnElement[bool]
) -> None:
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
