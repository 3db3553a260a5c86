"""Statements compiled once, for what every job goes through.

SQLAlchemy Core spends several times what SQLite itself needs on each execution of a
statement, even of one whose compilation it remembers. The same SQL handed to the driver,
over the same connection, costs a fifth of that.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler


class Prepared:
    """A statement in the words of one database. Rows come as the driver has them, without result types."""

    def __init__(self, statement: sa.Executable, dialect: sa.Dialect) -> None:
        compiled = cast(SQLCompiler, cast(sa.ClauseElement, statement).compile(dialect=dialect))
        self._sql = compiled.string
        self._fixed: Mapping[str, Any] = compiled.params
        self._places = compiled.positiontup
        self._translations: list[tuple[str, Callable[[Any], Any]]] = [
            (name, translate)
            for name, bind in compiled.binds.items()
            if (translate := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        ]

    def run(self, connection: sa.Connection, **values: Any) -> sa.CursorResult[Any]:
        """Execute it with these values of its parameters."""
        return connection.exec_driver_sql(self._sql, self._bound(values))

    def run_each(self, connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute it once for each set of values, of which there must be one."""
        connection.exec_driver_sql(self._sql, [self._bound(values) for values in rows])

    def _bound(self, values: Mapping[str, Any]) -> Any:
        bound = {**self._fixed, **values}
        for name, translate in self._translations:
            bound[name] = translate(bound[name])
        return bound if self._places is None else tuple(bound[name] for name in self._places)
