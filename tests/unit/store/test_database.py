"""The connections: any number of threads share a few."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest

from clworker.core.errors import StoreUnavailable
from clworker.core.store.sqlite import SqliteDatabase

CONNECTIONS = 3


def test_more_threads_than_connections_take_turns(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite:///{tmp_path / 'jobs.db'}")
    held, go_on = Barrier(CONNECTIONS + 1), Event()

    def hold() -> None:
        with database.read():
            held.wait(20)
            assert go_on.wait(20)

    def ask() -> object:
        with database.read() as connection:
            return connection.exec_driver_sql("SELECT 7").scalar()

    with ThreadPoolExecutor(CONNECTIONS + 5) as threads:
        holding = [threads.submit(hold) for _ in range(CONNECTIONS)]
        held.wait(20)
        asking = [threads.submit(ask) for _ in range(5)]
        go_on.set()
        assert [one.result(20) for one in asking] == [7] * 5
        assert [one.result(20) for one in holding] == [None] * CONNECTIONS
    database.close()


def test_a_turn_that_never_comes_is_told_in_words(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite:///{tmp_path / 'jobs.db'}", busy_timeout=0.1)
    late = database.read()
    with database.read(), database.read(), database.read(), pytest.raises(StoreUnavailable, match="3 transactions"):
        late.__enter__()
    with database.read():
        pass
    database.close()
