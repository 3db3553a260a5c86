"""Claims: who may run a job, and the only ways in which a claim begins and ends.

Every write after a claim demands its token, whose attempt must be open, and its witness:
``status = 'processing' AND started_at`` as we set it. Programs that know no token set
``started_at`` when they claim, so a job that was reset and taken by one of them is safe
from us.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.errors import ClaimLost, InstanceEnded, StoreUnavailable
from clworker.core.models.attempts import Cause, Claim, Death, Ending, Outcome, Return
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.attempts import close_attempt, is_attempt
from clworker.core.store.database import Database, Evidence, again_on_conflict
from clworker.core.store.ends import Ends, Held
from clworker.core.store.prepared import Prepared, PreparedForMany
from clworker.core.store.queue import Choice, Queue
from clworker.core.store.rows import job_of, refusal_of
from clworker.core.store.schema import JobsTable
from clworker.core.store.tables import attempts, instances


@dataclass(frozen=True, slots=True)
class Settlement:
    """An attempt that is over. ``conclude`` is called in between the proof of the claim and the commit.

    It places the outputs and returns what is to be recorded. Nobody else can claim the job
    meanwhile, so a late finisher changes neither row nor file. It may be called again, when
    the commit failed.
    """

    claim: Claim
    conclude: Callable[[], Ending]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of handing in settlements, in their order, and asking for jobs."""

    settled: Sequence[Ending | ClaimLost | StoreUnavailable]
    claims: Sequence[Claim] = ()
    ended: bool = False
    """Whether this instance was ended by another, and can claim nothing."""


class Claims:
    """The state machine of jobs, over one database."""

    def __init__(self, database: Database, jobs: JobsTable, queue: Queue | None = None) -> None:
        """``queue`` is asked for the next jobs, in the place of one that offers them all."""
        self._database = database
        self._jobs = jobs
        dialect = database.dialect
        self._queue = queue or Queue(jobs, dialect)
        held: sa.Select[Any] = (
            sa.select(attempts.c.token, jobs.columns.id, attempts.c.id)
            .join(jobs.table, jobs.columns.job_id == attempts.c.job_id)
            .where(
                attempts.c.ended_at.is_(None),
                jobs.has_status(ComputeJobStatus.PROCESSING),
                jobs.columns.started_at == attempts.c.started_at,
            )
        )
        # The rows stay locked, in the order in which all lock them: what is proven holds until the commit.
        locked = held.order_by(jobs.columns.id + 0).with_for_update(of=jobs.table)
        self._held_of_these = PreparedForMany(locked, attempts.c.job_id, dialect)
        self._held_by = held.where(attempts.c.instance == sa.bindparam("instance"))
        # A lock that keeps out who would end the instance, and not its heartbeats.
        self._ending = Prepared(
            sa.select(instances.c.ended_at)
            .where(instances.c.instance == sa.bindparam("instance"))
            .with_for_update(read=True, key_share=True),
            dialect,
        )
        self._ends = Ends(jobs, dialect)

    def claim(self, instance: str, task_types: Sequence[str], limit: int = 1, choose: Choice = len) -> list[Claim]:
        """Claim up to ``limit`` queued jobs of these types, best first; as many as ``choose`` wants of them.

        Raises InstanceEnded when this instance was ended by another, and StoreUnavailable.
        """
        exchange = self.exchange([], instance, task_types, limit, choose)
        if exchange.ended:
            raise InstanceEnded(f"this worker (instance {instance}) was ended by another that took over its name")
        return list(exchange.claims)

    @again_on_conflict
    def exchange(
        self,
        settlements: Sequence[Settlement],
        instance: str,
        task_types: Sequence[str],
        limit: int,
        choose: Choice = len,
    ) -> Exchange:
        """Record how attempts ended and claim the next jobs, all in one transaction.

        Each settlement is recorded, or is a claim that was lost, or one that could not be
        concluded for now, which does not hold up the others. Raises StoreUnavailable; then
        nothing has changed.
        """
        if not settlements and (limit < 1 or not self._may_find_work(task_types)):
            return Exchange([])
        evidence = Evidence()
        with self._database.write(evidence) as connection:
            # The instance's row is locked before any job is: whoever ends the instance finds all its claims.
            waiting = () if settlements else self._queue.waiting(connection, task_types, limit)
            if not settlements and not waiting:
                return Exchange([])
            ending = self._ending.send(connection, instance=instance) if limit > 0 else tuple
            settled = self._settle(connection, settlements, evidence)
            ended = False
            claims: Sequence[Claim] = ()
            if limit > 0:
                waiting = waiting or self._queue.waiting(connection, task_types, limit)
                chosen = self._queue.choose(connection, task_types, waiting, limit, choose)
                ended = any(ended_at is not None for (ended_at,) in ending())
                claims = () if ended else self._queue.take(connection, instance, chosen)
            if claims:
                first = claims[0]
                evidence.leave(
                    lambda: sa.select(attempts.c.id).where(
                        is_attempt(first.job_id, first.token), attempts.c.ended_at.is_(None)
                    ),
                    lambda: self._row(self._jobs.columns.job_id == first.job_id),
                )
            evidence.result = done = Exchange(settled, claims, ended)
        return done

    def _may_find_work(self, task_types: Sequence[str]) -> bool:
        """Look first where a transaction that may write keeps everybody else from writing, even if it finds nothing."""
        return self._database.locks_rows or self.any_waiting(task_types)

    def any_waiting(self, task_types: Sequence[str]) -> bool:
        """Tell whether a job of these types is queued, without locking anybody out."""
        with self._database.read() as connection:
            return not self._queue.is_empty(connection, task_types)

    def refusal_of(self, output: Any) -> str | None:
        """Return why this database cannot hold such an output of a job; None where it can."""
        return refusal_of(output, self._jobs.columns[self._jobs.result_name].type)

    def progress(self, claim: Claim, percent: int) -> None:
        """Write a running job's progress, 0 to 99. Raises ClaimLost, StoreUnavailable."""
        self.amend(claim, progress=percent)

    @again_on_conflict
    def amend(self, claim: Claim, **fields: Any) -> None:
        """Write fields of a job that goes on running. Raises ClaimLost, StoreUnavailable."""
        with self._database.write() as connection:
            self._prove(connection, claim)
            update_held(connection, self._jobs, claim, **fields)

    @again_on_conflict
    def finish(self, claim: Claim, outcome: Outcome, place_outputs: Callable[[], None] = lambda: None) -> None:
        """Record the outcome of one job.

        What ``place_outputs`` raises undoes the transaction. Raises ClaimLost, StoreUnavailable.
        """
        evidence = Evidence()
        with self._database.write(evidence) as connection:
            held = self._prove(connection, claim)
            place_outputs()
            self._record(connection, [(held, claim, outcome)], evidence)

    @again_on_conflict
    def give_back(self, claim: Claim, cause: Cause, *, counted: bool, death: Death | None = None) -> None:
        """Return the job to the queue; ``counted`` costs it one of its retries.

        Raises ClaimLost, StoreUnavailable.
        """
        evidence = Evidence()
        with self._database.write(evidence) as connection:
            held = self._prove(connection, claim)
            self._record(connection, [(held, claim, Return(cause, counted, death))], evidence)

    @again_on_conflict
    def abandon(self, claim: Claim) -> None:
        """Close the attempt of a claim that is lost; the job is left alone. Raises StoreUnavailable."""
        with self._database.write() as connection:
            close_attempt(connection, Cause.SUPERSEDED, claim)

    def forgotten(self, instance: str, known: Collection[str]) -> list[Claim]:
        """Return the claims that the instance holds beside those whose tokens are ``known`` to it."""
        query = self._held_by.with_only_columns(attempts.c.token, attempts.c.started_at, *self._jobs.selected())
        with self._database.read() as connection:
            rows = connection.execute(query, {"instance": instance}).all()
        return [Claim(job_of(row), row[0], row[1]) for row in rows if row[0] not in known]

    def held(self, instance: str) -> frozenset[str]:
        """Return the tokens of the claims that the instance still holds."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(self._held_by, {"instance": instance}))

    def _settle(
        self, connection: sa.Connection, settlements: Sequence[Settlement], evidence: Evidence
    ) -> list[Ending | ClaimLost | StoreUnavailable]:
        held = self._held(connection, [settlement.claim for settlement in settlements])
        results: list[Ending | ClaimLost | StoreUnavailable] = []
        endings: list[tuple[Held, Claim, Ending]] = []
        for settlement in settlements:
            proven = held.get(settlement.claim.token)
            if proven is None:
                results.append(_loss_of(settlement.claim))
                close_attempt(connection, Cause.SUPERSEDED, settlement.claim)
                continue
            try:
                ending = settlement.conclude()
            except StoreUnavailable as failure:
                results.append(failure)
            else:
                results.append(ending)
                endings.append((proven, settlement.claim, ending))
        if endings:
            self._record(connection, endings, evidence)
        return results

    def _record(
        self, connection: sa.Connection, endings: Sequence[tuple[Held, Claim, Ending]], evidence: Evidence
    ) -> None:
        held, _, first = endings[0]
        of_first = (attempts.c.id == held.attempt_id, attempts.c.ended_at.is_not(None))
        evidence.leave(
            lambda: sa.select(attempts.c.id).where(*of_first, attempts.c.cause == str(first.cause)),
            lambda: self._row(self._jobs.columns.id == held.row_id),
        )
        self._ends.write(connection, endings)
        if any(isinstance(ending, Return) for *_, ending in endings):
            self._database.announce(connection)

    def _row(self, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return sa.select(self._jobs.columns.id).where(which)

    def _held(self, connection: sa.Connection, claims: Sequence[Claim]) -> dict[str, Held]:
        """Return those of the claims that stand, by their tokens."""
        rows = self._held_of_these.run(connection, [claim.job_id for claim in claims])
        return {token: Held(row_id, attempt_id) for token, row_id, attempt_id in rows}

    def _prove(self, connection: sa.Connection, claim: Claim) -> Held:
        held = self._held(connection, [claim]).get(claim.token)
        if held is None:
            raise _loss_of(claim)
        return held


def _loss_of(claim: Claim) -> ClaimLost:
    return ClaimLost(f"the claim on job {claim.job_id} is gone; what this attempt did is not recorded")


def update_held(connection: sa.Connection, jobs: JobsTable, claim: Claim, **fields: Any) -> None:
    """Write fields of a job for as long as the claim's witness stands."""
    values = jobs.values(updated_at=now_ms(), **fields)
    if values:
        connection.execute(
            jobs.table.update()
            .where(
                jobs.columns.job_id == claim.job_id,
                jobs.has_status(ComputeJobStatus.PROCESSING),
                jobs.columns.started_at == claim.started_at,
            )
            .values(**values)
        )
