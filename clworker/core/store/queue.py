"""The queue: which jobs are next, and how they are taken from it within a transaction."""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from clworker.core.clock import now_ms
from clworker.core.models.attempts import Cause, Claim
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.store.prepared import Prepared, PreparedForMany, PreparedForRows, Rows
from clworker.core.store.rows import LARGEST_WHOLE, job_of
from clworker.core.store.schema import JobsTable
from clworker.core.store.tables import attempts

_NAMELESS = "the job's id is no text: no program can name the job, and none can run it"

_FARTHEST = 1024
"""Jobs that are looked at in one go, however many others are claiming at the same moment."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued job, by the number of its row and by its id exactly as it stands there."""

    row_id: int
    name: Any
    job: ComputeJob

    @property
    def place(self) -> tuple[int, int, int]:
        return (-(self.job.priority or 0), self.job.created_at, self.row_id)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Jobs that nobody else can claim before the transaction's end, and where to read of earlier attempts at them."""

    jobs: Sequence[Waiting]
    older: Sequence[Rows]


_TAKEN: dict[str, TypeEngine[Any]] = {
    "row_id": sa.BigInteger(),
    "witness": sa.BigInteger(),
    "now": sa.BigInteger(),
}
_OPENED: dict[str, TypeEngine[Any]] = {
    name: attempts.c[name].type for name in ("job_id", "instance", "token", "started_at", "handed_at")
}

Choice = Callable[[Sequence[ComputeJob]], int]
"""Tells how many of the next jobs, from the first on, are to be claimed."""


class Queue:
    """The queued jobs, in the order of claiming."""

    def __init__(self, jobs: JobsTable, dialect: sa.Dialect) -> None:
        self._jobs = jobs
        self._dialect = dialect
        self._probes: dict[int, Prepared] = {}
        self._passed = 0
        """How many of the first that waited others were claiming when we last chose."""
        columns = jobs.columns
        self._locks_rows = dialect.name != "sqlite"  # whose write lock is on everything
        self._locked = PreparedForMany(
            sa.select(columns.id, *jobs.selected())
            .where(jobs.has_status(ComputeJobStatus.QUEUED))
            .order_by(*jobs.claim_order())
            .limit(sa.bindparam("limit"))
            .with_for_update(skip_locked=True),
            columns.id,
            dialect,
        )
        self._older = PreparedForMany(
            sa.select(attempts.c.job_id, attempts.c.token, attempts.c.ended_at, attempts.c.id),
            attempts.c.job_id,
            dialect,
        )
        self._supersede = Prepared(
            attempts.update()
            .where(attempts.c.job_id == sa.bindparam("which"), attempts.c.ended_at.is_(None))
            .values(ended_at=sa.bindparam("now"), cause=str(Cause.SUPERSEDED)),
            dialect,
        )
        self._end = jobs.table.update().where(columns.id == sa.bindparam("row_id"))
        self._take = PreparedForRows(self._taking, _TAKEN, dialect)
        self._open = PreparedForRows(_opening, _OPENED, dialect)

    def is_empty(self, connection: sa.Connection, task_types: Iterable[str]) -> bool:
        """Tell whether no job of these types waits."""
        return not self.first(connection, task_types, 1)

    def waiting(self, connection: sa.Connection, task_types: Iterable[str], limit: int) -> list[Waiting]:
        """Return what to choose up to ``limit`` jobs from: more than that where others are claiming, too."""
        return self.first(connection, task_types, min(limit + self._passed, _FARTHEST))

    def choose(
        self,
        connection: sa.Connection,
        task_types: Sequence[str],
        waiting: Sequence[Waiting],
        limit: int,
        choose: Choice,
    ) -> Chosen:
        """Keep the best jobs from others: as many as are chosen of those that are ``waiting``, up to ``limit``."""
        chosen: list[Waiting] = []
        older: list[Rows] = []
        seen: list[int] = []
        ahead = max(limit, len(waiting))
        while waiting:
            seen += [each.row_id for each in waiting]
            named = [each for each in waiting if self._has_name(connection, each)]
            if named:
                wanted = choose([each.job for each in (*chosen, *named)][:limit]) - len(chosen)
                if wanted < 1:
                    break
                candidates = named if self._locks_rows else named[:wanted]
                older.append(self._older.send(connection, [each.job.job_id for each in candidates]))
                locked = self._lock(connection, candidates, wanted)
                chosen += locked
                if len(locked) == wanted:
                    break
            # What others are claiming now still seems to wait: look beyond it.
            ahead = min(2 * ahead, _FARTHEST)
            waiting = self.first(connection, task_types, ahead, frozenset(seen))
        passed = seen.index(chosen[-1].row_id) + 1 - len(chosen) if chosen else len(seen)
        self._passed = max(passed, self._passed // 2)
        if len(chosen) > 1 and passed:  # others than the choice was made of
            chosen = chosen[: choose([each.job for each in chosen])]
        return Chosen(chosen, older)

    def take(self, connection: sa.Connection, instance: str, chosen: Chosen) -> list[Claim]:
        """Claim what was chosen for an instance."""
        return self._open_attempts(connection, instance, chosen) if chosen.jobs else []

    def first(
        self, connection: sa.Connection, task_types: Iterable[str], limit: int, seen: Collection[int] = ()
    ) -> list[Waiting]:
        """Return the first jobs of those that wait and were not ``seen`` yet."""
        wanted = list(dict.fromkeys(task_types))
        if not wanted:
            return []
        values = {f"task_type_{number}": task_type for number, task_type in enumerate(wanted)}
        rows = self._probe(len(wanted)).run(connection, **values, limit=limit + len(seen))
        found = [Waiting(row[0], row[1], job_of(row)) for row in rows if row[0] not in seen]
        return sorted(found, key=lambda each: each.place)[:limit]

    def _lock(self, connection: sa.Connection, waiting: Sequence[Waiting], wanted: int) -> Sequence[Waiting]:
        """Keep others from the first ``wanted`` of these that nobody is claiming now, and read them again."""
        if not self._locks_rows:
            return waiting
        rows = self._locked.run(connection, [each.row_id for each in waiting], limit=wanted)
        return [Waiting(row[0], row[1], job_of(row)) for row in rows]

    def _probe(self, types: int) -> Prepared:
        """Return the query for the first jobs of so many task types: one look into the index for each."""
        if types not in self._probes:
            whole = self._first_of_each(types, self._jobs.columns.id, *self._jobs.selected())
            self._probes[types] = Prepared(whole, self._dialect)
        return self._probes[types]

    def _first_of_each(self, types: int, *wanted: sa.ColumnElement[Any]) -> sa.CompoundSelect[Any]:
        """Return the query for these columns of as many jobs of each type as its ``limit`` says, in their order."""
        columns = self._jobs.columns
        each = [
            sa.select(*wanted)
            .where(
                self._jobs.stands_at(ComputeJobStatus.QUEUED),
                columns.task_type == sa.bindparam(f"task_type_{number}"),
                columns.job_id.is_not(None),
            )
            .order_by(*self._jobs.claim_order())
            .limit(sa.bindparam("limit"))
            .subquery(f"type_{number}")
            for number in range(types)
        ]
        return sa.union_all(*map(sa.select, each))

    def _has_name(self, connection: sa.Connection, found: Waiting) -> bool:
        """Tell whether the job can be found by the id that we read; one that cannot ends in ``error``."""
        if isinstance(found.name, str):
            # What is no UTF-8 was read with replacement characters, which are no longer what stands there.
            if "\N{REPLACEMENT CHARACTER}" not in found.name:
                return True
            if self._row_of(connection, found.name) == found.row_id:
                return True
        ended = {"status": str(ComputeJobStatus.ERROR), "error_message": _NAMELESS, "completed_at": now_ms()}
        connection.execute(self._end, {"row_id": found.row_id, **ended})
        return False

    def _row_of(self, connection: sa.Connection, name: str) -> Any:
        return connection.scalar(self._jobs.with_id(name).with_only_columns(self._jobs.columns.id))

    def _open_attempts(self, connection: sa.Connection, instance: str, chosen: Chosen) -> list[Claim]:
        now = now_ms()
        tokens = self._end_older_attempts(connection, chosen, now)
        claims = [self._claim(each.job, now, tuple(tokens.get(each.job.job_id, ()))) for each in chosen.jobs]
        self._take.send(
            connection,
            [
                {"row_id": each.row_id, "witness": claim.started_at, "now": now}
                for each, claim in zip(chosen.jobs, claims, strict=True)
            ],
        )
        self._open.send(
            connection,
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

    def _taking(self, given: Mapping[str, Any]) -> sa.Update:
        values = self._jobs.values(
            status=str(ComputeJobStatus.PROCESSING),
            progress=0,
            started_at=given["witness"],
            completed_at=None,
            output=None,
            error_message=None,
            updated_at=given["now"],
        )
        return self._jobs.table.update().where(self._jobs.columns.id == given["row_id"]).values(**values)

    def _end_older_attempts(self, connection: sa.Connection, chosen: Chosen, now: int) -> dict[str, list[str]]:
        """Close what is still open of earlier attempts at these jobs; return the tokens of all, by job."""
        job_ids = {each.job.job_id for each in chosen.jobs}
        tokens: dict[str, list[str]] = {}
        found = (row for rows in chosen.older for row in rows() if row[0] in job_ids)
        for job_id, token, ended_at, _ in sorted(found, key=_number):
            tokens.setdefault(job_id, []).append(token)
            if ended_at is None:
                self._supersede.run(connection, which=job_id, now=now)
        return tokens

    def _claim(self, job: ComputeJob, now: int, older: tuple[str, ...]) -> Claim:
        # Strictly later than any earlier claim, even when the clock went back.
        before = job.started_at or 0
        started_at = max(now, before + 1) if before < LARGEST_WHOLE else now
        held = job.claimed(started_at, now if "updated_at" in self._jobs.columns else None)
        return Claim(held, secrets.token_hex(8), started_at, older)


def _opening(given: Mapping[str, Any]) -> sa.Insert:
    return attempts.insert().from_select(list(_OPENED), sa.select(*(given[name].label(name) for name in _OPENED)))


def _number(attempt: Sequence[Any]) -> int:
    number: int = attempt[-1]
    return number
