"""Databases of one PostgreSQL server that are made once and emptied for each test: to make one takes 0.1 s."""

from pathlib import Path

from clworker.core.store.store import Store
from tests.support import databases
from tests.support.postgres import Place, Server


class Emptied:
    """The server, with a database for each generation of ``jobs`` and one in which clworker makes the tables."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._made: set[str] = set()
        self._stores: dict[str, Store] = {}
        self._fresh = 0

    def place(self, generation: str, home: Path) -> Place:
        """Return a database without a row; its tables may not be altered."""
        place = Place(self.server.url(f"kind_{generation}"), home)
        if generation in self._made:
            _empty(place)
        else:
            self._make(place, f"kind_{generation}", generation)
            self._made.add(generation)
        return place

    def store(self, place: Place) -> Store:
        """Return a store over one of the emptied databases, opened once for all tests."""
        if place.url not in self._stores:
            self._stores[place.url] = databases.open_store(place)
        store = self._stores[place.url]
        store.database.home = place.home
        return store

    def close(self) -> None:
        """Close what was opened."""
        for store in self._stores.values():
            store.close()

    def fresh(self, generation: str, home: Path) -> Place:
        """Return a new database, for what alters tables; ``own`` has none yet."""
        self._fresh += 1
        name = f"fresh_{self._fresh}"
        place = Place(self.server.url(name), home)
        self._make(place, name, generation)
        return place

    def _make(self, place: Place, name: str, generation: str) -> None:
        self.server.execute(f"CREATE DATABASE {name}")
        if generation != "own":
            databases.create(place, generation)


def _empty(place: Place) -> None:
    # Not TRUNCATE, which takes twenty times as long for a few rows.
    with place.connect() as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            if table != "clworker_schema":
                connection.execute(f"DELETE FROM {table}".encode())
        sequences = connection.execute("SELECT sequencename FROM pg_sequences").fetchall()
        for (sequence,) in sequences:
            connection.execute(f"ALTER SEQUENCE {sequence} RESTART".encode())
