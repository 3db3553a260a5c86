"""Claims: who may run a job, and the only ways in which a claim begins and ends.

Every write after a claim demands its token, whose attempt must be open, and its witness:
``status = 'processing' AND started_at`` as we set it. Programs that know no token set
``started_at`` when they claim, so a job that was reset and taken by one of them is safe
from us.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.errors import ClaimLost, InstanceEnded
from clworker.core.models import Cause, Claim, ComputeJob, ComputeJobStatus, Death, Outcome
from clworker.core.store.database import Database
from clworker.core.store.identity import current_boot_id, started_tokens
from clworker.core.store.instances import lock_of
from clworker.core.store.schema import LARGEST_WHOLE, JobsTable, attempts, instances, job_of, whole

_NAMELESS = "the job's id is no text: no program can name the job, and none can run it"


class Claims:
    """The state machine of jobs, over one database."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self._database = database
        self._jobs = jobs
        self._probes: dict[int, sa.CompoundSelect[Any]] = {}
        self._ours = (
            sa.select(attempts.c.id)
            .join(jobs.table, jobs.columns.job_id == attempts.c.job_id)
            .where(
                attempts.c.token == sa.bindparam("token"),
                attempts.c.ended_at.is_(None),
                jobs.columns.status == str(ComputeJobStatus.PROCESSING),
                jobs.columns.started_at == attempts.c.started_at,
            )
        )
        self._older = (
            sa.select(attempts.c.token).where(attempts.c.job_id == sa.bindparam("job_id")).order_by(attempts.c.id)
        )
        self._take = jobs.table.update().where(jobs.columns.id == sa.bindparam("row_id"))
        self._ended_at = sa.select(instances.c.ended_at).where(instances.c.instance == sa.bindparam("instance"))

    def claim(self, instance: str, task_types: Sequence[str], limit: int = 1) -> list[Claim]:
        """Claim up to ``limit`` queued jobs of these types for idle slots, best first.

        The jobs count as handed to a slot from here on. Raises InstanceEnded when this
        instance was ended by another, and StoreUnavailable.
        """
        if not self.any_waiting(task_types):
            return []
        with self._database.write() as connection:
            if connection.scalar(self._ended_at, {"instance": instance}) is not None:
                raise InstanceEnded(f"this worker (instance {instance}) was ended by another that took over its name")
            claims: list[Claim] = []
            while not claims and (rows := self._next_rows(connection, task_types, limit)):
                named = [row for row in rows if self._has_name(connection, row)]
                claims = [self._open_attempt(connection, instance, row) for row in named]
            return claims

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

    def abandon(self, claim: Claim) -> None:
        """Close the attempt of a claim that is lost; the job is left alone. Raises StoreUnavailable."""
        with self._database.write() as connection:
            _close_attempts(connection, Cause.SUPERSEDED, None, attempts.c.token == claim.token)

    def held(self, instance: str) -> frozenset[str]:
        """Return the tokens of the claims that the instance still holds."""
        columns = self._jobs.columns
        query = (
            sa.select(attempts.c.token)
            .join(self._jobs.table, columns.job_id == attempts.c.job_id)
            .where(
                attempts.c.instance == instance,
                attempts.c.ended_at.is_(None),
                columns.status == str(ComputeJobStatus.PROCESSING),
                columns.started_at == attempts.c.started_at,
            )
        )
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))

    def rescue(self, instance: str, silent_at: int | None = None) -> list[ComputeJob]:
        """Take the jobs of a dead instance from it; return them as they now stand.

        A job that had started costs a retry, and ends in ``error`` when none is left. The
        caller has proven the death, or judges by heartbeats that stay at ``silent_at``: then
        nothing is done if they have gone on. Raises StoreUnavailable.
        """
        with self._database.write() as connection:
            worker = connection.execute(sa.select(instances).where(instances.c.instance == instance)).one_or_none()
            if silent_at is not None and (worker is None or worker.heartbeat != silent_at):
                return []
            rescued = [
                self._rescue_one(connection, claim, started, _obituary(worker, silent_at))
                for claim, started in self._open_claims(connection, instance, _started_tokens(worker))
            ]
            _close_attempts(connection, Cause.SUPERSEDED, None, attempts.c.instance == instance)
        return rescued

    def take_over(self, instance: str) -> list[ComputeJob]:
        """End an instance in favour of another; its jobs go back to the queue uncounted.

        Returns them as they now stand. Raises StoreUnavailable.
        """
        with self._database.write() as connection:
            claims = [claim for claim, _ in self._open_claims(connection, instance, None)]
            for claim in claims:
                self._update(connection, claim, status=str(ComputeJobStatus.QUEUED), progress=0)
            freed = [self._job(connection, claim.job_id) for claim in claims]
            _close_attempts(connection, Cause.TAKEOVER, None, attempts.c.instance == instance)
            connection.execute(instances.update().where(instances.c.instance == instance).values(ended_at=now_ms()))
        return freed

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
        connection.execute(self._take, {"row_id": row.id, **ended})
        return False

    def _open_attempt(self, connection: sa.Connection, instance: str, row: sa.Row[Any]) -> Claim:
        job = job_of(row)
        now = now_ms()
        # Strictly later than any earlier claim, even when the clock went back.
        before = job.started_at or 0
        started_at = max(now, before + 1) if before < LARGEST_WHOLE else now
        older = connection.scalars(self._older, {"job_id": job.job_id}).all()
        if older:
            _close_attempts(connection, Cause.SUPERSEDED, None, attempts.c.job_id == job.job_id)
        claimed: dict[str, Any] = {
            "status": str(ComputeJobStatus.PROCESSING),
            "progress": 0,
            "started_at": started_at,
            "completed_at": None,
            "output": None,
            "error_message": None,
        }
        connection.execute(self._take, {"row_id": row.id, **self._jobs.values(**claimed, updated_at=now)})
        token = secrets.token_hex(8)
        connection.execute(
            attempts.insert(),
            {
                "job_id": job.job_id,
                "instance": instance,
                "token": token,
                "started_at": started_at,
                "handed_at": now,
            },
        )
        held = replace(job, **claimed, updated_at=now if "updated_at" in self._jobs.columns else None)
        return Claim(held, token, started_at, tuple(older))

    def _open_claims(
        self, connection: sa.Connection, instance: str, marked: frozenset[str] | None
    ) -> list[tuple[Claim, bool]]:
        """Return the claims that an instance holds, each with whether its job had started."""
        rows = connection.execute(
            sa.select(attempts.c.token, attempts.c.started_at, attempts.c.handed_at, attempts.c.job_id).where(
                attempts.c.instance == instance, attempts.c.ended_at.is_(None)
            )
        ).all()
        claims = []
        for row in rows:
            job = connection.execute(
                self._jobs.with_id(row.job_id).where(
                    self._jobs.columns.status == str(ComputeJobStatus.PROCESSING),
                    self._jobs.columns.started_at == row.started_at,
                )
            ).one_or_none()
            if job is not None:
                started = row.handed_at is not None and (marked is None or row.token in marked)
                claims.append((Claim(job_of(job), row.token, row.started_at), started))
        return claims

    def _rescue_one(self, connection: sa.Connection, claim: Claim, started: bool, obituary: str) -> ComputeJob:
        job = claim.job
        if started and job.retry_count >= job.max_retries:
            message = f"{obituary} while it ran the job, attempt {claim.attempt} of {job.max_retries + 1}"
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
        return job_of(connection.execute(self._jobs.with_id(job_id)).one())

    def _prove(self, connection: sa.Connection, claim: Claim) -> None:
        if connection.scalar(self._ours, {"token": claim.token}) is None:
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


def _claim_key(row: Any) -> tuple[int, int, int]:
    return (-(whole(row.priority) or 0), whole(row.created_at) or 0, row.id)


def _started_tokens(worker: sa.Row[Any] | None) -> frozenset[str] | None:
    # What a crash of the host has left of the file is no proof that a job had not started.
    return started_tokens(lock_of(worker)) if worker is not None and worker.boot_id == current_boot_id() else None


def _obituary(worker: sa.Row[Any] | None, silent_at: int | None) -> str:
    who = "the worker" if worker is None else f"worker {worker.worker_id} on host {worker.host}"
    return f"{who} died" if silent_at is None else f"{who} fell silent"


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
