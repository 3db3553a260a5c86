"""Statements compiled once, for what every job goes through.

SQLAlchemy Core spends several times what SQLite itself needs on each execution of a
statement, even of one whose compilation it remembers. The same SQL handed to the driver,
over the same connection, costs a fifth of that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

from clworker.core.errors import UsageFault


class Prepared:
    """A statement in the words of one database. Rows come as the driver has them, and so do failures.

    A value that cannot be translated raises UsageFault.
    """

    def __init__(self, statement: sa.Executable, dialect: sa.Dialect) -> None:
        compiled = cast(SQLCompiler, cast(sa.ClauseElement, statement).compile(dialect=dialect))
        self._sql = compiled.string
        self._places = compiled.positiontup
        self._translations: dict[str, Callable[[Any], Any]] = {
            name: translate
            for bind, name in compiled.bind_names.items()
            if (translate := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        self._fixed = self._translated(compiled.params)

    def run(self, connection: sa.Connection, **values: Any) -> Sequence[Any]:
        """Execute it with these values of its parameters and return the rows, if it has any, as tuples."""
        with closing(connection.connection.cursor()) as cursor:
            cursor.execute(self._sql, self._bound(values))
            return cursor.fetchall() if cursor.description else []

    def run_each(self, connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute it once for each set of values."""
        with closing(connection.connection.cursor()) as cursor:
            cursor.executemany(self._sql, [self._bound(values) for values in rows])

    def _bound(self, values: Mapping[str, Any]) -> Any:
        bound = {**self._fixed, **self._translated(values)}
        return bound if self._places is None else tuple([bound[name] for name in self._places])

    def _translated(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
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
    """A query for the rows in which a column has one of many values: one statement for each number of values."""

    def __init__(self, query: sa.Select[Any], column: sa.ColumnElement[Any], dialect: sa.Dialect) -> None:
        self._query = query
        self._column = column
        self._dialect = dialect
        self._statements: dict[int, Prepared] = {}

    def run(self, connection: sa.Connection, wanted: Sequence[Any], **further: Any) -> Sequence[Any]:
        """Return the rows, as tuples; ``further`` are the values of the query's own parameters."""
        if not wanted:
            return []
        if len(wanted) not in self._statements:
            names: list[sa.BindParameter[Any]] = [sa.bindparam(f"value_{number}") for number in range(len(wanted))]
            self._statements[len(wanted)] = Prepared(self._query.where(self._column.in_(names)), self._dialect)
        values = {f"value_{number}": value for number, value in enumerate(wanted)}
        return self._statements[len(wanted)].run(connection, **values, **further)
