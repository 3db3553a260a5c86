"""Connections to PostgreSQL through something in between, which cuts them, forgets them or shares them out."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from clworker.core.errors import StoreUnavailable
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus, NewJob
from clworker.core.store import announcements, pipelines, postgres
from clworker.core.store.claims import Exchange, Settlement
from clworker.core.store.database import InDoubt
from clworker.core.store.store import Store
from tests.conformance.conftest import TASK
from tests.support import databases
from tests.support.broker import free_port
from tests.support.emptied import Emptied
from tests.support.pooler import pooler
from tests.support.postgres import Place
from tests.support.proxy import FAREWELL, Proxy, proxy
from tests.support.waiting import wait_until

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"a": 1})
ROUNDS = 8
"""After the fifth execution of a statement the driver prepares it."""


@pytest.fixture
def place(postgresql: Emptied, database: Path) -> Place:
    """An empty database."""
    return postgresql.place("own", database)


@pytest.fixture
def between(postgresql: Emptied) -> Iterator[Proxy]:
    """A proxy before the server."""
    with proxy(postgresql.server.port) as made:
        yield made


def store_through(port: int, place: Place) -> Store:
    """Open a store whose connections lead through another port."""
    return Store(f"postgresql://postgres@127.0.0.1:{port}/{place.url.rpartition('/')[2]}", home=place.home)


def run_job(store: Store, job_id: str) -> None:
    """Bring a job through its life."""
    store.jobs.add(NewJob(job_id, TASK, {}))
    (claim,) = store.claims.claim("instance-a", [TASK])
    store.claims.progress(claim, 5)
    store.claims.finish(claim, DONE)
    job = store.jobs.get(job_id)
    assert job is not None and job.status == "completed"


def test_connections_that_were_reset_are_replaced_without_a_word(between: Proxy, place: Place) -> None:
    store = store_through(between.port, place)
    for number in range(3):
        run_job(store, f"job-{number}")
        between.reset()
    store.close()


def test_silence_is_waited_for_only_so_long(between: Proxy, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a proxy that has forgotten a connection: it acknowledges what is sent, and never answers."""
    monkeypatch.setattr(postgres, "PATIENCE", 0.5)
    store = store_through(between.port, place)
    run_job(store, "before")
    between.go_silent()
    with pytest.raises(StoreUnavailable, match=r"no answer within 0\.5 s: the connection is lost; see whether"):
        store.jobs.add(NewJob("lost", TASK, {}))
    run_job(store, "after")
    between.go_silent()
    monkeypatch.setattr(postgres, "_IDLE", 0.0)
    monkeypatch.setattr(store.database, "_busy_timeout", 0.5)
    run_job(store, "later")  # on a connection that was idle it is found out before anything depends on it

    between.lose_answers(1, falls_silent=True)
    store.jobs.add(NewJob("committed", TASK, {}))
    between.lose_answers(0)
    assert between.lost == 1
    assert [store.jobs.find(job_id).status for job_id in ("committed", "later")] == ["queued", "completed"]
    store.close()


@pytest.mark.parametrize("how", ["reset", "shut down", "not made"])
def test_a_commit_whose_answer_is_lost_is_looked_up(between: Proxy, place: Place, how: str) -> None:
    store = store_through(between.port, place)
    claims: list[Claim] = []

    def give_back() -> None:
        store.claims.give_back(claims[0], Cause.STOPPED, counted=False)

    acts: list[Callable[[], object]] = [
        lambda: store.jobs.add(NewJob("job", TASK, {})),
        lambda: claims.extend(store.claims.claim("instance-a", [TASK])),
        give_back,
        lambda: claims.extend(store.claims.claim("instance-a", [TASK])),
        lambda: store.claims.finish(claims[-1], DONE),
    ]
    for act in acts:
        if how == "not made":
            between.lose_commits(1)
            with pytest.raises(StoreUnavailable):
                act()
            between.lose_commits(0)
        else:
            between.lose_answers(1, says=FAREWELL if how == "shut down" else b"")
            between.on_lost = lambda: between.lose_answers(0)
        act()
    assert between.lost == len(acts)
    assert store.jobs.find("job").status == "completed"
    causes = databases.rows(place, "SELECT cause FROM clworker_attempts ORDER BY id")
    assert [row["cause"] for row in causes] == ["stopped", "completed"]
    store.close()


def test_a_commit_is_looked_up_whenever_the_server_has_not_refused_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is shut down under load leaves the driver in this state now and then, not on demand."""
    real = pipelines.commit

    def commit(connection: sa.Connection) -> None:
        real(connection)
        raise psycopg.OperationalError("cannot exit pipeline mode while busy")

    store = databases.open_store(place)
    monkeypatch.setattr(pipelines, "commit", commit)
    store.jobs.add(NewJob("job", TASK, {}))
    monkeypatch.setattr(pipelines, "commit", real)
    assert store.jobs.find("job").status == "queued"
    store.close()


@pytest.mark.parametrize("made", [True, False], ids=["made", "not made"])
def test_what_was_in_doubt_while_the_server_was_away_is_told_when_it_is_back(
    between: Proxy, place: Place, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    """A commit whose answer is lost, and a server that does not come back before the store gives up."""
    monkeypatch.setattr(postgres, "_UNSURE", 0.2)
    store, there, nowhere = store_through(between.port, place), between.target, free_port()
    for job_id in ("first", "second"):
        store.jobs.add(NewJob(job_id, TASK, {}))

    def settle(*claims: Claim, limit: int) -> Exchange:
        settlements = [Settlement(claim, lambda: DONE) for claim in claims]
        return store.claims.exchange(settlements, "instance-a", [TASK], limit)

    def lose_commit() -> None:
        between.on_lost = lambda: setattr(between, "target", nowhere)
        (between.lose_answers if made else between.lose_commits)(1)

    lose_commit()
    with pytest.raises(InDoubt, match=r"broke at a commit, .*; look before you try again"):
        settle(limit=1)
    with pytest.raises(StoreUnavailable, match="server closed the connection"):
        settle(limit=1)
    between.target = there
    between.lose_answers(0)
    (first,) = settle(limit=1).claims
    assert (first.job_id, len(store.claims.held("instance-a"))) == ("first", 1)

    lose_commit()
    with pytest.raises(InDoubt):
        settle(first, limit=1)
    between.target = there
    between.lose_answers(0)
    done = settle(first, limit=2)
    assert list(done.settled) == [DONE]
    assert [claim.job_id for claim in done.claims] == ["second"]
    assert list(settle(*done.claims, limit=1).settled) == [DONE]
    attempts = databases.rows(place, "SELECT job_id, cause FROM clworker_attempts ORDER BY id")
    assert [tuple(row.values()) for row in attempts] == [("first", "completed"), ("second", "completed")]
    store.close()


def test_a_connection_that_listens_and_was_forgotten_is_replaced(
    between: Proxy, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "_SILENCE", 0.1)
    monkeypatch.setattr(announcements, "_CHECK_PATIENCE", 1.0)
    monkeypatch.setattr(announcements, "_RECONNECT", 0.1)
    monkeypatch.setattr(postgres, "PATIENCE", 0.5)
    store = store_through(between.port, place)
    monkeypatch.setattr(store.database, "_busy_timeout", 0.5)
    changes = store.watch_changes()
    assert isinstance(changes, announcements.Announcements)
    listening = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"

    def listeners() -> set[int]:
        return {row["pid"] for row in databases.rows(place, listening)}

    heard = threading.Event()
    changes.follow(heard.set)
    try:
        before = wait_until(listeners, "it listens")
        between.go_silent()
        wait_until(lambda: listeners() - before, "it listens on another connection")
        assert heard.wait(20)
        heard.clear()
        store.jobs.add(NewJob("job", TASK, {}))
        assert heard.wait(20)
    finally:
        changes.close()
        store.close()


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_behind_a_pooler_everything_works(
    postgresql: Emptied, place: Place, mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcements, "_CHECK_PATIENCE", 0.5)
    monkeypatch.setattr(announcements, "_LISTENS_AGAIN", 0.0)
    with pooler(postgresql.server, pool_mode=mode) as port:
        stores = [store_through(port, place) for _ in range(2)]
        changes = stores[0].watch_changes()
        assert isinstance(changes, announcements.Announcements)
        heard = threading.Event()
        changes.follow(heard.set)
        for number in range(ROUNDS):
            for name, store in zip("ab", stores, strict=True):
                run_job(store, f"{name}-{number}")
        warned = "no notifications arrive"
        if mode == "transaction":
            wait_until(lambda: warned in caplog.text, "it is said that none can be heard")
        heard.clear()
        stores[1].jobs.add(NewJob("job", TASK, {}))
        assert heard.wait(20)
        changes.close()
        assert sum(warned in record.message for record in caplog.records) == (mode == "transaction")
        for store in stores:
            store.close()
