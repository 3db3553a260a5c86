"""Values on their way into columns, and rows on their way out, whatever others have written there."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from clworker.core.models.jobs import LARGEST_JSON, ComputeJob

LONGEST_TEXT = 100_000
"""Characters, or bytes of SQLite, that are read of a text which no program has to understand."""

LARGEST_WHOLE = (1 << 63) - 1
"""The largest number that a column can hold."""

_DEEPEST = 200
"""Deeper JSON stays text: what nests it again (a message, a listing) could not be written."""

_TOO_LARGE = f"larger than the {LARGEST_JSON >> 20} MiB that clworker reads"
_UNKNOWN_TO_JSONB = re.compile(
    r"(?<!\\)(?:\\\\)*\\u(0000|d[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..\\u)d[c-f]..)",
)
"""In JSON of ASCII alone: escapes of what is no character of a text there, NUL and halves of pairs."""

_SHORTEST_DEEP = 2 * _DEEPEST
"""Characters, at the least, of JSON that is nested too deep."""


class JsonText(sa.types.TypeDecorator[Any]):
    """JSON kept as text; no value is SQL NULL. It is read by ``job_of``."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value, allow_nan=False)


class JsonDocument(JsonText):
    """JSON in a column of PostgreSQL's type JSON or JSONB, which takes no text."""

    cache_ok = True

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(bindvalue, sa.JSON)


class JsonBinary(JsonDocument):
    """JSON in a column of PostgreSQL's type JSONB, which takes the texts apart, and so not every one."""

    cache_ok = True


def refusal_of(value: Any, kind: Any) -> str | None:
    """Return why a column of this type, of those that hold JSON, cannot hold a value; None where it can."""
    if not isinstance(kind, JsonBinary):
        return None
    found = _UNKNOWN_TO_JSONB.search(json.dumps(value))
    return None if found is None else f"a column of type JSONB holds no \\u{found[1]}"


def from_text(text: sa.ColumnElement[Any], kind: Any) -> sa.ColumnElement[Any]:
    """Return a text as a value for a column of this type."""
    return sa.cast(text, sa.JSON) if isinstance(kind, JsonDocument) else text


def json_type(dialect: sa.Dialect, kind: Any) -> JsonText:
    """Return how a column that holds JSON is written, by the type that it has in the database."""
    if dialect.name != "postgresql":
        return JsonText()  # SQLite's type JSON is text by another name
    from sqlalchemy.dialects.postgresql import JSONB  # 0.1 s, which who uses SQLite does not pay

    if isinstance(kind, JSONB):
        return JsonBinary()
    return JsonDocument() if isinstance(kind, sa.JSON) else JsonText()


class PlainText(sa.types.TypeDecorator[str]):
    """Text in which what the database refuses is kept as escapes: bytes of a file name that are no UTF-8, and NUL.

    So are characters that its encoding does not have.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, codec: str = "utf-8") -> None:
        """``codec`` is Python's name of what the database can hold."""
        super().__init__()
        self.codec = codec

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        text = value.encode(self.codec, errors="backslashreplace").decode(self.codec)
        return text.replace("\0", "\\x00") if dialect.name == "postgresql" else text


_CODECS = {"UTF8": "utf-8", "SQL_ASCII": "utf-8", "LATIN1": "latin-1"}
"""Python's names of the encodings of PostgreSQL that are known to hold the same; of any other ASCII is certain."""


def plain_text(connection: sa.Connection) -> PlainText:
    """Return how text that must be kept is written into this database."""
    if connection.dialect.name != "postgresql":
        return PlainText()
    driver: Any = connection.connection.driver_connection
    return PlainText(_CODECS.get(driver.info.parameter_status("server_encoding"), "ascii"))


class _Size(FunctionElement[int]):
    """The size of a text in bytes."""

    type = sa.Integer()
    inherit_cache = True


@compiles(_Size)
def _size_of_blob(element: _Size, compiler: SQLCompiler, **options: Any) -> str:
    # As bytes, since the length of a text ends at the first NUL in it.
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


@compiles(_Size, "postgresql")
def _size_of_text(element: _Size, compiler: SQLCompiler, **options: Any) -> str:
    return f"octet_length(CAST({compiler.process(element.clauses, **options)} AS TEXT))"


class _Beginning(FunctionElement[str]):
    """As much of a text as is read of one that no program has to understand."""

    type = sa.Text()
    inherit_cache = True


@compiles(_Beginning)
def _beginning_of_bytes(element: _Beginning, compiler: SQLCompiler, **options: Any) -> str:
    # Of bytes again; what is cut within a character ends with the one that stands for such.
    text = compiler.process(element.clauses, **options)
    cut = f"CAST(substr(CAST({text} AS BLOB), 1, {LONGEST_TEXT}) AS TEXT)"
    return f"CASE WHEN length(CAST({text} AS BLOB)) > {LONGEST_TEXT} THEN {cut} ELSE {text} END"


@compiles(_Beginning, "postgresql")
def _beginning_of_text(element: _Beginning, compiler: SQLCompiler, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, {LONGEST_TEXT})"


def readable(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return the column as ``job_of`` reads it; the database holds back what would fill this process's memory."""
    if isinstance(column.type, JsonText):
        text = sa.cast(column, sa.Text) if isinstance(column.type, JsonDocument) else column
        return sa.type_coerce(sa.case((_Size(column) > LARGEST_JSON, _TOO_LARGE), else_=text), sa.Text())
    if column.name in ("error_message", "created_by"):
        return sa.type_coerce(_Beginning(column), column.type)
    return column


def job_of(row: Sequence[Any]) -> ComputeJob:
    """Build a job from a row that ends with ``JobsTable.selected``.

    SQLite keeps any value in any column: what is no number there counts as none, or as 0
    where there has to be one, and what is no text is read as text.
    """
    (
        *_,
        job_id,
        task_type,
        status,
        progress,
        priority,
        params,
        output,
        error_message,
        created_at,
        started_at,
        completed_at,
        updated_at,
        retry_count,
        max_retries,
        created_by,
    ) = row
    return ComputeJob(
        job_id=_text(job_id) or "",
        task_type=_text(task_type) or "",
        status=_text(status) or "",
        progress=whole(progress) or 0,
        priority=whole(priority),
        params=_json(params),
        output=_json(output),
        error_message=_text(error_message),
        created_at=whole(created_at) or 0,
        started_at=whole(started_at),
        completed_at=whole(completed_at),
        updated_at=whole(updated_at),
        retry_count=whole(retry_count) or 0,
        max_retries=whole(max_retries) or 0,
        created_by=_text(created_by),
    )


def whole(value: Any) -> int | None:
    """Return a number of the database as a whole one that it can hold, and None for all else."""
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and abs(value) <= LARGEST_WHOLE / 2 else None


def distinct(connection: sa.Connection, column: sa.Column[Any], *among: Any) -> Iterator[Any]:
    """Yield every value that occurs, in order: one look into an index for each."""
    least = sa.select(sa.func.min(column)).where(*among)
    value, seen = connection.scalar(least), set()
    while value is not None and value not in seen:  # seen: bytes that are no UTF-8 come back as less than they are
        yield value
        seen.add(value)
        value = connection.scalar(least.where(column > value))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _json(value: Any) -> Any:
    """Decode JSON; text of others that is none, or is nested too deep, is read as it is."""
    if not isinstance(value, (str, bytes)):
        return value
    text = value if isinstance(value, str) else value.decode(errors="replace")
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if len(text) >= _SHORTEST_DEEP and _is_nested_deeper(decoded, _DEEPEST) else decoded


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


def is_held_back(value: Any) -> bool:
    """Tell whether ``readable`` has held this value back for its size."""
    return bool(value == _TOO_LARGE)


def is_too_deep(value: Any) -> bool:
    """Tell whether JSON is nested so deep that ``job_of`` would return its text."""
    return _is_nested_deeper(value, _DEEPEST)
