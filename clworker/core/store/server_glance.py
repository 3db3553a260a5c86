"""A look into a PostgreSQL database by plain psycopg."""

from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

import psycopg

_SECONDS = 0.5
"""For all of it: the name is looked up, the server found and asked."""
_AT_WORK = "300ms"
"""How long the server may work for an answer that perhaps nobody waits for any more."""


def read(url: str, queries: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[Any, ...]]:
    """Return what the queries find, each row once, until the time is over."""
    found: dict[tuple[Any, ...], None] = {}
    # A thread, since neither the look-up of a name nor a server that has accepted us can be given so short a time.
    reader = Thread(target=_read, args=(url, queries, found), daemon=True)
    reader.start()
    reader.join(_SECONDS)
    return list(found.copy())


def _read(url: str, queries: Sequence[tuple[str, Sequence[str]]], found: dict[tuple[Any, ...], None]) -> None:
    with suppress(psycopg.Error, UnicodeError), psycopg.connect(url, application_name="clworker") as connection:
        connection.execute(f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '{_AT_WORK}'")
        for query, values in queries:
            rows = connection.execute(query.replace("?", "%s").encode(), values)
            found.update(dict.fromkeys(rows))
