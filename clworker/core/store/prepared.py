"""Statements compiled once, for what every job goes through.

SQLAlchemy Core spends several times what SQLite itself needs on each execution of a
statement, even of one whose compilation it remembers. The same SQL handed to the driver,
over the same connection, costs a fifth of that. And a server is waited for only when there
are rows to be read: what was sent until then goes its way together.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from clworker.core.errors import UsageFault
from clworker.core.store.rows import from_text

_ROWS = "rows"

Rows = Callable[[], Sequence[Any]]
"""Waits for the rows of a statement that was sent, and returns them as tuples."""


class Prepared:
    """A statement in the words of one database. Rows come as the driver has them, and so do failures.

    A value that cannot be translated raises UsageFault.
    """

    def __init__(self, statement: sa.Executable, dialect: sa.Dialect) -> None:
        compiled = cast(SQLCompiler, cast(sa.ClauseElement, statement).compile(dialect=dialect))
        self._sql = compiled.string
        self._places = compiled.positiontup
        self._has_rows = isinstance(statement, sa.SelectBase)
        self._is_local = dialect.name == "sqlite"
        self._translated = _Translator({name: bind.type for bind, name in compiled.bind_names.items()}, dialect)
        self._fixed = self._translated(compiled.params)

    def run(self, connection: sa.Connection, **values: Any) -> Sequence[Any]:
        """Execute it with these values of its parameters and return the rows, if it has any, as tuples."""
        return self.send(connection, **values)()

    def send(self, connection: sa.Connection, **values: Any) -> Rows:
        """Execute it without waiting for a server; a failure may come as one of a later statement."""
        cursor = connection.connection.cursor()
        cursor.execute(self._sql, self._bound(values))
        if self._has_rows and not self._is_local:
            return cursor.fetchall
        with closing(cursor):
            rows = cursor.fetchall() if self._has_rows else ()
        return lambda: rows

    def run_each(self, connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute it once for each set of values."""
        with closing(connection.connection.cursor()) as cursor:
            cursor.executemany(self._sql, [self._bound(values) for values in rows])

    def _bound(self, values: Mapping[str, Any]) -> Any:
        bound = {**self._fixed, **self._translated(values)}
        return bound if self._places is None else tuple([bound[name] for name in self._places])


class _Translator:
    """What Python has to do with values before the driver gets them."""

    def __init__(self, types: Mapping[str, TypeEngine[Any]], dialect: sa.Dialect) -> None:
        self._translations: dict[str, Callable[[Any], Any]] = {
            name: translate
            for name, kind in types.items()
            if (translate := kind.dialect_impl(dialect).bind_processor(dialect)) is not None
        }

    def __call__(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values translated. Raises UsageFault for one that cannot be."""
        if self._translations.keys().isdisjoint(values):
            return values
        try:
            return {
                name: self._translations[name](value) if name in self._translations else value
                for name, value in values.items()
            }
        except (TypeError, ValueError) as failure:
            raise UsageFault(f"a value cannot be kept in the database: {failure}") from failure


class PreparedForMany:
    """A query for the rows in which a column has one of many values."""

    def __init__(self, query: sa.Select[Any], column: sa.ColumnElement[Any], dialect: sa.Dialect) -> None:
        self._query = query
        self._column = column
        self._dialect = dialect
        self._by_number: dict[int, Prepared] = {}
        self._for_any: Prepared | None = None
        if dialect.name == "postgresql":
            values = sa.bindparam("values", type_=sa.ARRAY(column.type))
            self._for_any = Prepared(query.where(column == sa.any_(values)), dialect)

    def run(self, connection: sa.Connection, wanted: Sequence[Any], **further: Any) -> Sequence[Any]:
        """Return the rows, as tuples; ``further`` are the values of the query's own parameters."""
        return self.send(connection, wanted, **further)()

    def send(self, connection: sa.Connection, wanted: Sequence[Any], **further: Any) -> Rows:
        """Ask for the rows without waiting for a server."""
        if not wanted:
            return tuple
        if self._for_any is not None:
            return self._for_any.send(connection, values=list(wanted), **further)
        values = {f"value_{number}": value for number, value in enumerate(wanted)}
        return self._for(len(wanted)).send(connection, **values, **further)

    def _for(self, number: int) -> Prepared:
        """Return the statement for so many values: SQLite has no arrays."""
        if number not in self._by_number:
            names: list[sa.BindParameter[Any]] = [sa.bindparam(f"value_{each}") for each in range(number)]
            self._by_number[number] = Prepared(self._query.where(self._column.in_(names)), self._dialect)
        return self._by_number[number]


class PreparedForRows:
    """A change made once for each of many rows of values: by one statement where the database is a server.

    ``change`` is given what stands for each value in SQL, under the names of ``types``.
    """

    def __init__(
        self,
        change: Callable[[Mapping[str, Any]], sa.Executable],
        types: Mapping[str, TypeEngine[Any]],
        dialect: sa.Dialect,
    ) -> None:
        self._is_local = dialect.name == "sqlite"
        given = _parameters(types) if self._is_local else _columns_of_json(types)
        self._change = Prepared(change(given), dialect)
        self._translated = _Translator(types, dialect)

    def send(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Make the change without waiting for a server. Raises UsageFault for a value that cannot be translated."""
        if self._is_local:
            self._change.run_each(connection, rows)
            return
        translated = [self._translated(row) for row in rows]
        self._change.send(connection, **{_ROWS: json.dumps(translated, ensure_ascii=False)})


def _parameters(types: Mapping[str, TypeEngine[Any]]) -> Mapping[str, Any]:
    return {name: sa.bindparam(name, type_=kind) for name, kind in types.items()}


def _columns_of_json(types: Mapping[str, TypeEngine[Any]]) -> Mapping[str, Any]:
    """Return the columns of a table that the server makes of one JSON text: of all ways the cheapest for both."""
    # Of the bare types: what Python has to do with a value is done before it goes into the text.
    columns = [sa.column(name, _bare(kind)) for name, kind in types.items()]
    rows = sa.func.json_to_recordset(sa.cast(sa.bindparam(_ROWS, type_=sa.Text()), sa.JSON))
    given = rows.table_valued(*columns).render_derived("given", with_types=True)
    return {name: from_text(given.c[name], kind) for name, kind in types.items()}


def _bare(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, sa.types.TypeDecorator) else kind
