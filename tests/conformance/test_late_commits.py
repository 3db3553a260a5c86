"""Commits whose connection breaks: what has taken place stands, also where the server has yet to end it."""

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store import pipelines
from clworker.core.store.identity import Instance, InstanceLock, Role
from tests.conformance.conftest import Bench
from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.waiting import TIMEOUT, wait_until

KEY = 77
HELD_UP = f"""
CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared({KEY}); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT OR UPDATE ON clworker_attempts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_up()
"""
"""Has every commit that changes an attempt wait for whoever holds the key."""

WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_a_commit_that_goes_on_without_its_client_is_waited_for(
    postgresql: Emptied, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a job would be held for ever by a worker that knows nothing of it."""
    place = postgresql.fresh("current", database)
    store = databases.open_store(place)
    databases.execute(place, HELD_UP)
    bench = Bench(store, place, "current")
    bench.submit()
    real = pipelines.commit

    def commit(connection: sa.Connection) -> None:
        monkeypatch.setattr(pipelines, "commit", real)
        driver: Any = connection.connection.driver_connection
        hanging = threading.Thread(target=hang_up, args=(driver.fileno(),))
        hanging.start()
        held.wait(TIMEOUT)
        held.clear()
        real(connection)

    def hang_up(descriptor: int) -> None:
        with databases.connect(place) as other:
            other.execute(f"SELECT pg_advisory_lock({KEY})")
            held.set()
            wait_until(lambda: len(databases.rows(place, WAITING)) == 1, "the commit is held up")
            with socket.socket(fileno=os.dup(descriptor)) as sock:
                sock.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: len(databases.rows(place, WAITING)) == 2, "the commit is waited for")

    held = threading.Event()
    monkeypatch.setattr(pipelines, "commit", commit)
    claim = bench.claim()
    monkeypatch.setattr(pipelines, "commit", commit)
    store.claims.finish(claim, Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED))
    assert bench.row()["status"] == "completed"
    assert [attempt["cause"] for attempt in bench.attempts()] == ["completed"]
    store.close()


def test_what_was_added_although_the_answer_got_lost_counts_as_added(
    server_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an import that is repeated would refuse its own jobs, and a worker its own name."""
    bench = server_bench
    real = pipelines.commit

    def commit(connection: sa.Connection) -> None:
        monkeypatch.setattr(pipelines, "commit", real)
        real(connection)
        driver: Any = connection.connection.driver_connection
        driver.pgconn.finish()
        driver.execute("SELECT 1")

    bench.submit()
    moved = bench.store.jobs.find("job")
    monkeypatch.setattr(pipelines, "commit", commit)
    assert bench.store.transfers.add([replace(moved, job_id="moved")], skip_existing=False) == set()
    instance = Instance.new("ann", Role.RUN, 30.0)
    with InstanceLock(bench.home, instance) as lock:
        monkeypatch.setattr(pipelines, "commit", commit)
        assert bench.store.instances.register(instance, lock.file) == []
    assert (bench.row("moved")["status"], bench.store.instances.is_live(instance.instance)) == ("queued", True)
