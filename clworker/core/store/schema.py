"""The ``jobs`` table in both generations of the contract, and how all tables come to be there.

A ``jobs`` table that exists is never altered; which columns it has is looked up once.
"""

import logging
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from clworker.core.errors import SchemaMismatch
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.store.database import Database, RightMissing
from clworker.core.store.rows import PlainText, json_type, plain_text, readable
from clworker.core.store.tables import SCHEMA_VERSION, only_where, own, schema_versions

_log = logging.getLogger("clworker.store")

QUEUE_INDEX = "clworker_jobs_queue"
_FINISHED_INDEX = "clworker_jobs_finished"
FINISHED_STATUSES = (str(ComputeJobStatus.COMPLETED), str(ComputeJobStatus.ERROR))
_FINISHED = "status IN ('completed', 'error')"
"""What the index of finished jobs is limited to; a query has to say it in the same words to use it."""

_CURRENT = sa.Table(
    "jobs",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String, nullable=False, unique=True, index=True),
    sa.Column("task_type", sa.String, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("status", sa.String, nullable=False, index=True),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("completed_at", sa.BigInteger),
    sa.Column("output", sa.JSON),
    sa.Column("error_message", PlainText),
    sa.Column("retry_count", sa.Integer, nullable=False),
    sa.Column("max_retries", sa.Integer, nullable=False),
    sa.Column("created_by", sa.String, index=True),
    sa.Column("updated_at", sa.BigInteger),
    sqlite_autoincrement=True,
)

_OPTIONAL = {"priority", "updated_at"}
_RESULT_NAMES = ("output", "task_output")


@dataclass(frozen=True)
class JobsTable:
    """The ``jobs`` table as this database has it, spoken to in current names."""

    table: sa.Table
    result_name: str

    @property
    def columns(self) -> sa.ColumnCollection[str, sa.Column[Any]]:
        return self.table.c

    @property
    def has_priority(self) -> bool:
        return "priority" in self.table.c

    @property
    def generation(self) -> str:
        """Which program's table this is, by the name of its result: ``first`` or ``current``."""
        return "current" if self.result_name == "output" else "first"

    def stands_at(self, status: ComputeJobStatus) -> sa.ColumnElement[bool]:
        """Return the condition on the status, spelt out rather than bound.

        Only so can SQLite prove that the partial index fits. And where it might fit but for a
        bound value, SQLite compiles the statement anew at each execution.
        """
        return self.table.c.status == sa.literal_column(f"'{status}'")

    def has_status(self, status: ComputeJobStatus) -> sa.ColumnElement[bool]:
        """Return the condition on the status of rows that are found by something else.

        Never by an index on the status: a server that has no statistics yet may choose that, and
        pass by every row that had the status since the last vacuum.
        """
        return self.table.c.status.concat("") == sa.literal_column(f"'{status}'")

    def claim_order(self) -> list[sa.ColumnElement[Any]]:
        """Return the order of claiming: priority where there is one, then age, then id."""
        priority = [self.table.c.priority.desc()] if self.has_priority else []
        return [*priority, self.table.c.created_at, self.table.c.id]

    def selected(self) -> list[sa.ColumnElement[Any]]:
        """Return the columns of a ComputeJob, in its fields' names and order, for ``rows.job_of``."""
        found: list[sa.ColumnElement[Any]] = []
        for name in ComputeJob.__dataclass_fields__:
            column = self.table.c.get(self.result_name if name == "output" else name)
            found.append((sa.null() if column is None else readable(column)).label(name))
        return found

    def with_id(self, job_id: str) -> sa.Select[Any]:
        """Return the query for one whole job."""
        return sa.select(*self.selected()).where(self.table.c.job_id == job_id)

    def lock(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
        """Have nobody else change these rows before the transaction's end; all lock them in one order."""
        if connection.dialect.name != "sqlite":  # there the whole database is locked already
            connection.execute(sa.select(self.table.c.id).where(which).order_by(self.table.c.id).with_for_update())

    def in_status(self, status: str) -> list[Any]:
        """Return the condition on the status in words that let the index of finished jobs be used."""
        here = self.table.c.status == status
        return [sa.text(_FINISHED), here] if status in FINISHED_STATUSES else [here]

    def values(self, **fields: Any) -> dict[str, Any]:
        """Return ``fields`` in this table's names, without those that it does not have."""
        if "output" in fields:
            fields[self.result_name] = fields.pop("output")
        return {name: value for name, value in fields.items() if name in self.table.c}


def open_schema(database: Database) -> JobsTable:
    """Create whatever is missing and return the ``jobs`` table that is there.

    Raises SchemaMismatch for a ``jobs`` table of neither generation, or for ``clworker_``
    tables of a newer version, and StoreUnavailable.
    """
    with database.read() as connection:
        jobs = find_whole(connection, database.label)
    if jobs is None:
        with database.write() as connection:
            database.keep_others_out(connection, "tables")
            jobs = completed(connection, database.label)
    with database.read() as connection:
        present = _index_names(connection)
    for index in (_queue_index(jobs), _finished_index(jobs)):
        if index.name not in present:
            _create(database, index)
    return jobs


def _create(database: Database, index: sa.Index) -> None:
    """Create an index of ours on ``jobs``. Without it all is slower, but nothing is wrong."""
    try:
        with database.write() as connection:
            database.keep_others_out(connection, "tables")
            database.take_time(connection)
            index.create(connection, checkfirst=True)
    except RightMissing as failure:
        statement = str(CreateIndex(index).compile(dialect=database.dialect)).replace("\n", " ")
        _log.warning(
            "an index is missing, and claims are slow; let the owner of the table jobs create it",
            extra={"statement": statement, "reason": str(failure)},
        )


def find_jobs(connection: sa.Connection, label: str) -> JobsTable | None:
    """Return the ``jobs`` table, whether or not our own are there. Raises SchemaMismatch."""
    inspected = sa.inspect(connection)
    present = set(inspected.get_table_names())
    if schema_versions.name in present:
        _check_version(connection)
    if "jobs" not in present and inspected.has_table("jobs"):
        raise SchemaMismatch(
            f"database {label}: its jobs is a view or a foreign table, in which rows cannot be locked and indexed; "
            "name the database that holds the table itself"
        )
    return _bound_jobs(connection, label) if "jobs" in present else None


def find_whole(connection: sa.Connection, label: str) -> JobsTable | None:
    """Return the ``jobs`` table, or None while any table is missing. Raises SchemaMismatch."""
    jobs = find_jobs(connection, label)
    return jobs if set(own.tables) <= set(sa.inspect(connection).get_table_names()) else None


def completed(connection: sa.Connection, label: str) -> JobsTable:
    """Create whatever is missing, within a transaction of the caller's. Raises SchemaMismatch."""
    jobs = find_whole(connection, label)
    if jobs is not None:
        return jobs
    _CURRENT.metadata.create_all(connection)
    own.create_all(connection)
    if connection.scalar(sa.select(sa.func.count()).select_from(schema_versions)) == 0:
        connection.execute(schema_versions.insert().values(version=SCHEMA_VERSION))
    return _bound_jobs(connection, label)


def _check_version(connection: sa.Connection) -> None:
    found = connection.scalar(sa.select(sa.func.max(schema_versions.c.version)))
    if found is not None and found > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the database was used by a newer clworker (its tables have version {found}, "
            f"this program knows {SCHEMA_VERSION}): install that version"
        )


def _bound_jobs(connection: sa.Connection, label: str) -> JobsTable:
    present = {column["name"]: column["type"] for column in sa.inspect(connection).get_columns("jobs")}
    result_name = next((name for name in _RESULT_NAMES if name in present), None)
    needed = {column.name for column in _CURRENT.columns} - _OPTIONAL - {"output"}
    missing = sorted(needed - present.keys()) + ([] if result_name else ["output"])
    if missing or result_name is None:
        raise SchemaMismatch(
            f"database {label}: its table jobs is of neither generation that clworker knows; "
            f"missing columns: {', '.join(missing)}"
        )
    columns: list[sa.Column[Any]] = []
    for column in _CURRENT.columns:
        name = result_name if column.name == "output" else column.name
        if name in present:
            columns.append(sa.Column(name, _kind(connection, column, present[name]), primary_key=column.primary_key))
    return JobsTable(sa.Table("jobs", sa.MetaData(), *columns), result_name)


def _kind(connection: sa.Connection, column: sa.Column[Any], found: Any) -> Any:
    """Return how values go into a column of ``jobs``, by the type and the encoding that it has in this database."""
    if isinstance(column.type, sa.JSON):
        return json_type(connection.dialect, found)
    return plain_text(connection) if isinstance(column.type, PlainText) else column.type


def _queue_index(jobs: JobsTable) -> sa.Index:
    # Claims probe it once for each task type: microseconds, however many rows there are.
    return only_where("status = 'queued'", sa.Index(QUEUE_INDEX, jobs.columns.task_type, *jobs.claim_order()))


def _finished_index(jobs: JobsTable) -> sa.Index:
    # Counts a million rows in a tenth of a second; limited, so that inserts and claims never touch it.
    columns = jobs.columns
    return only_where(_FINISHED, sa.Index(_FINISHED_INDEX, columns.status, columns.task_type, columns.created_at))


def missing_indexes(connection: sa.Connection) -> list[str]:
    """Return which of our indexes on ``jobs``, which is there, are missing."""
    return sorted({QUEUE_INDEX, _FINISHED_INDEX} - _index_names(connection))


def _index_names(connection: sa.Connection) -> set[str]:
    return {index["name"] for index in sa.inspect(connection).get_indexes("jobs") if index["name"]}
