"""The tables: ``jobs`` in both generations of the contract, and clworker's own.

A ``jobs`` table that exists is never altered; which columns it has is looked up once.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clworker.core.errors import SchemaMismatch
from clworker.core.models import LARGEST_JSON, ComputeJob, ComputeJobStatus
from clworker.core.store.database import Database

SCHEMA_VERSION = 1
"""Version of the ``clworker_`` tables; a database that holds a newer one is left alone."""


_DEEPEST = 200
"""Deeper JSON stays text: what nests it again (a message, a listing) could not be written."""

LONGEST_TEXT = 100_000
"""Characters that are read of a text which no program has to understand."""

_TOO_LARGE = f"larger than the {LARGEST_JSON >> 20} MiB that clworker reads"


class JsonText(sa.types.TypeDecorator[Any]):
    """JSON kept as text. No value is SQL NULL; text of others that is no JSON is read as it is."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value, allow_nan=False)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        if not isinstance(value, (str, bytes)):
            return value
        text = value if isinstance(value, str) else value.decode(errors="replace")
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text if _is_nested_deeper(decoded, _DEEPEST) else decoded


def _is_nested_deeper(value: Any, limit: int) -> bool:
    """Tell whether lists and objects are nested deeper than ``limit``; recurses nowhere itself."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


class PlainText(sa.types.TypeDecorator[str]):
    """Text in which bytes of a file name that are no UTF-8 are kept as escapes, since SQLite refuses them."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else value.encode(errors="backslashreplace").decode()


own = sa.MetaData()

schema_versions = sa.Table("clworker_schema", own, sa.Column("version", sa.Integer, nullable=False))

instances = sa.Table(
    "clworker_instances",
    own,
    sa.Column("instance", sa.String(32), primary_key=True),
    sa.Column("worker_id", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("lock_path", sa.Text, nullable=False),
    sa.Column("lock_device", sa.BigInteger, nullable=False),
    sa.Column("lock_inode", sa.BigInteger, nullable=False),
    sa.Column("heartbeat", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_interval_ms", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Index("clworker_instances_worker", "worker_id"),
    sa.Index("clworker_instances_ended", "ended_at"),
)

attempts = sa.Table(
    "clworker_attempts",
    own,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Column("instance", sa.String(32), nullable=False),
    sa.Column("token", sa.String(32), nullable=False, unique=True),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("handed_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("cause", sa.String(32)),
    sa.Column("signal", sa.Integer),
    sa.Column("exit_code", sa.Integer),
    sa.Column("peak_memory_kib", sa.BigInteger),
    sa.Index("clworker_attempts_job", "job_id"),
    sa.Index("clworker_attempts_instance", "instance", "ended_at"),
    sa.Index("clworker_attempts_open", "job_id", unique=True, sqlite_where=sa.text("ended_at IS NULL")),
    sa.Index("clworker_attempts_ended", "ended_at"),
)

purged = sa.Table(
    "clworker_purged",
    own,
    # Jobs whose rows were purged and whose folders may still be there.
    sa.Column("job_id", sa.String, primary_key=True),
)

QUEUE_INDEX = "clworker_jobs_queue"
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

_WHOLE = (
    *("progress", "priority", "created_at", "started_at", "completed_at", "updated_at"),
    *("retry_count", "max_retries"),
)
_TEXTS = ("job_id", "task_type", "status", "error_message", "created_by")
_NEVER_NONE: dict[str, Any] = {
    **dict.fromkeys(("progress", "created_at", "retry_count", "max_retries"), 0),
    **dict.fromkeys(("job_id", "task_type", "status"), ""),
}
LARGEST_WHOLE = (1 << 63) - 1
"""The largest number that a column can hold."""

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

    def claim_order(self) -> list[sa.ColumnElement[Any]]:
        """Return the order of claiming: priority where there is one, then age, then id."""
        priority = [self.table.c.priority.desc()] if self.has_priority else []
        return [*priority, self.table.c.created_at, self.table.c.id]

    def selected(self) -> list[sa.ColumnElement[Any]]:
        """Return the columns of a ComputeJob, in its fields' names."""
        found: list[sa.ColumnElement[Any]] = []
        for name in ComputeJob.__dataclass_fields__:
            column = self.table.c.get(self.result_name if name == "output" else name)
            found.append((sa.null() if column is None else _bounded(column)).label(name))
        return found

    def with_id(self, job_id: str) -> sa.Select[Any]:
        """Return the query for one whole job."""
        return sa.select(*self.selected()).where(self.table.c.job_id == job_id)

    def in_status(self, status: str) -> list[Any]:
        """Return the condition on the status in words that let the index of finished jobs be used."""
        here = self.table.c.status == status
        return [sa.text(_FINISHED), here] if status in FINISHED_STATUSES else [here]

    def values(self, **fields: Any) -> dict[str, Any]:
        """Return ``fields`` in this table's names, without those that it does not have."""
        if "output" in fields:
            fields[self.result_name] = fields.pop("output")
        return {name: value for name, value in fields.items() if name in self.table.c}


_FIELDS = tuple(ComputeJob.__dataclass_fields__)


def job_of(row: sa.Row[Any]) -> ComputeJob:
    """Build a job from a row that ends with ``JobsTable.selected``.

    SQLite keeps any value in any column: what is no number there counts as none, or as 0
    where there has to be one, and what is no text is read as text.
    """
    fields: dict[str, Any] = dict(zip(_FIELDS, row[-len(_FIELDS) :], strict=True))
    for name in _WHOLE:
        fields[name] = whole(fields[name])
    for name in _TEXTS:
        fields[name] = _text(fields[name])
    for name in _NEVER_NONE:
        fields[name] = fields[name] or _NEVER_NONE[name]
    return ComputeJob(**fields)


def whole(value: Any) -> int | None:
    """Return a number of the database as a whole one that it can hold, and None for all else."""
    if isinstance(value, float) and abs(value) <= LARGEST_WHOLE / 2:
        return int(value)
    return value if isinstance(value, int) else None


def distinct(connection: sa.Connection, column: sa.Column[Any], *among: Any) -> Iterator[Any]:
    """Yield every value that occurs, in order: one look into an index for each."""
    least = sa.select(sa.func.min(column)).where(*among)
    value, seen = connection.scalar(least), set()
    while value is not None and value not in seen:  # seen: bytes that are no UTF-8 come back as less than they are
        yield value
        seen.add(value)
        value = connection.scalar(least.where(column > value))


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return None if value is None else str(value)


def _bounded(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Have the database hold back what would fill this process's memory."""
    if isinstance(column.type, JsonText):
        # As bytes, since the length of a text ends at the first NUL in it.
        size = sa.func.length(sa.cast(column, sa.LargeBinary))
        return sa.type_coerce(sa.case((size > LARGEST_JSON, _TOO_LARGE), else_=column), JsonText())
    if column.name in ("error_message", "created_by"):
        return sa.type_coerce(sa.func.substr(column, 1, LONGEST_TEXT), column.type)
    return column


def open_schema(database: Database) -> JobsTable:
    """Create whatever is missing and return the ``jobs`` table that is there.

    Raises SchemaMismatch for a ``jobs`` table of neither generation, or for ``clworker_``
    tables of a newer version, and StoreUnavailable.
    """
    with database.read() as connection:
        jobs = _found(connection, database.label)
    if jobs is None:
        with database.write() as connection:
            jobs = _found(connection, database.label) or _created(connection, database.label)
    with database.read() as connection:
        present = _index_names(connection)
    for index in (_queue_index(jobs), _finished_index(jobs)):
        if index.name not in present:
            with database.write() as connection:
                index.create(connection, checkfirst=True)
    return jobs


def _found(connection: sa.Connection, label: str) -> JobsTable | None:
    """Return the ``jobs`` table, or None while any table is missing. Raises SchemaMismatch."""
    present = set(sa.inspect(connection).get_table_names())
    if schema_versions.name in present:
        _check_version(connection)
    jobs = _bound_jobs(connection, label) if "jobs" in present else None
    return jobs if set(own.tables) <= present else None


def _created(connection: sa.Connection, label: str) -> JobsTable:
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
    present = {column["name"] for column in sa.inspect(connection).get_columns("jobs")}
    result_name = next((name for name in _RESULT_NAMES if name in present), None)
    needed = {column.name for column in _CURRENT.columns} - _OPTIONAL - {"output"}
    missing = sorted(needed - present) + ([] if result_name else ["output"])
    if missing or result_name is None:
        raise SchemaMismatch(
            f"database {label}: its table jobs is of neither generation that clworker knows; "
            f"missing columns: {', '.join(missing)}"
        )
    columns: list[sa.Column[Any]] = []
    for column in _CURRENT.columns:
        name = result_name if column.name == "output" else column.name
        if name in present:
            kind = JsonText() if isinstance(column.type, sa.JSON) else column.type
            columns.append(sa.Column(name, kind, primary_key=column.primary_key))
    return JobsTable(sa.Table("jobs", sa.MetaData(), *columns), result_name)


def _queue_index(jobs: JobsTable) -> sa.Index:
    # Claims probe it once for each task type: microseconds, however many rows there are.
    return sa.Index(
        QUEUE_INDEX,
        jobs.columns.task_type,
        *jobs.claim_order(),
        sqlite_where=sa.text("status = 'queued'"),
    )


def _finished_index(jobs: JobsTable) -> sa.Index:
    # Counts a million rows in a tenth of a second; limited, so that inserts and claims never touch it.
    columns = jobs.columns
    return sa.Index(
        "clworker_jobs_finished",
        columns.status,
        columns.task_type,
        columns.created_at,
        sqlite_where=sa.text(_FINISHED),
    )


def _index_names(connection: sa.Connection) -> set[str | None]:
    return {index["name"] for index in sa.inspect(connection).get_indexes("jobs")}
