"""What only PostgreSQL does: connections that break, limits of time, rights, replicas, and telling of queued jobs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clworker.core.errors import ClaimLost, StoreUnavailable, UsageFault
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus, NewJob
from clworker.core.store import announcements
from clworker.core.store.claims import Settlement
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store
from tests.conformance.conftest import TASK, Bench
from tests.support import databases, foreign
from tests.support.databases import Place
from tests.support.emptied import Emptied
from tests.support.postgres import Place as ServerPlace
from tests.support.postgres import Server
from tests.support.waiting import wait_until

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"a": 1})
OURS = "datname = current_database() AND application_name = 'clworker'"


def cut(place: Place, which: str = OURS) -> None:
    """Have the server end all of the program's connections, as after an idle time-out or a fail-over."""
    databases.rows(place, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {which}")


@contextmanager
def transaction(place: Place, *statements: str) -> Iterator["psycopg.Connection[Any]"]:
    """Another program's transaction, open for the time of the block."""
    assert isinstance(place, ServerPlace)
    with place.connect() as other:
        for statement in statements:
            other.execute(statement.encode())
        yield other
        other.rollback()


def test_connections_that_were_cut_while_idle_are_replaced_without_a_word(server_bench: Bench) -> None:
    bench = server_bench
    bench.submit()
    cut(bench.path)
    claim = bench.claim()
    cut(bench.path)
    assert bench.store.jobs.get("job") is not None
    cut(bench.path)
    bench.store.claims.finish(claim, DONE)
    assert bench.row()["status"] == "completed"


def test_a_connection_that_is_cut_in_a_transaction_undoes_it_in_words(server_bench: Bench) -> None:
    bench = server_bench
    bench.submit()
    claim = bench.claim()
    with pytest.raises(StoreUnavailable, match=r"^database postgresql://[^\n]*: [^\n]*(connection|terminat)[^\n]*$"):
        bench.store.claims.finish(claim, DONE, lambda: cut(bench.path))
    assert bench.row()["status"] == "processing"
    bench.store.claims.finish(claim, DONE)
    assert bench.row()["status"] == "completed"


def test_locks_and_statements_that_take_too_long_are_told_apart(server_bench: Bench) -> None:
    bench = server_bench
    bench.submit()
    claim = bench.claim()
    impatient = databases.open_store(bench.path, busy_timeout=0.1)
    with transaction(bench.path, "UPDATE jobs SET progress = progress"):
        with pytest.raises(StoreUnavailable, match="locked by another program for too long"):
            impatient.claims.finish(claim, DONE)
        assert impatient.jobs.get("job") is not None
        assert impatient.claims.claim("instance-b", [TASK]) == []
    with (
        pytest.raises(StoreUnavailable, match="a statement took too long"),
        impatient.database.read() as connection,
    ):
        connection.exec_driver_sql("SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)")
    impatient.claims.finish(claim, DONE)
    impatient.close()


def test_claims_pass_over_jobs_that_others_hold_whatever_their_number(server_bench: Bench) -> None:
    bench = server_bench
    databases.insert(bench.path, [{"job_id": f"job-{number:03}", "created_at": number} for number in range(60)])
    with transaction(bench.path, "SELECT id FROM jobs WHERE created_at < 50 FOR UPDATE"):
        claims = bench.store.claims.claim("instance-a", [TASK], 3)
        assert [claim.job_id for claim in claims] == ["job-050", "job-051", "job-052"]
        assert len(bench.store.claims.claim("instance-a", [TASK], 30)) == 7
        assert bench.store.claims.claim("instance-a", [TASK]) == []
    assert bench.claim().job_id == "job-000"


def test_what_others_were_claiming_is_the_first_again_once_they_have_let_go_of_it(server_bench: Bench) -> None:
    bench = server_bench
    for number in range(12):
        bench.queue(f"job-{number}", created_at=number)

    def claimed() -> list[str]:
        return [claim.job_id for claim in bench.store.claims.claim("instance-a", [TASK], 3)]

    with transaction(bench.path, "SELECT id FROM jobs WHERE created_at < 4 FOR UPDATE"):
        assert claimed() == ["job-4", "job-5", "job-6"]
        assert claimed() == ["job-7", "job-8", "job-9"]
    assert claimed() == ["job-0", "job-1", "job-2"]
    assert claimed() == ["job-3", "job-10", "job-11"]


def test_a_long_exchange_holds_up_no_heartbeat_and_keeps_out_who_would_end_the_worker(server_bench: Bench) -> None:
    bench = server_bench
    bench.submit()
    impatient = databases.open_store(bench.path, busy_timeout=0.1)
    instance = Instance.new("ann", Role.RUN, 30.0)
    with InstanceLock(bench.home, instance) as lock:
        bench.store.instances.register(instance, lock.file)
        claim = bench.claim(instance.instance)

        def conclude() -> Outcome:
            assert impatient.instances.beat(instance.instance)
            for end in (impatient.instances.end, impatient.rescues.rescue, impatient.rescues.take_over):
                with pytest.raises(StoreUnavailable, match="locked by another program"):
                    end(instance.instance)
            return DONE

        done = bench.store.claims.exchange([Settlement(claim, conclude)], instance.instance, [TASK], 1)
    assert done.settled == [DONE]
    impatient.close()


def test_a_foreign_reset_that_comes_between_proof_and_commit_waits(server_bench: Bench) -> None:
    """Without a lock on the row it would be overwritten, or our outcome lost."""
    bench = server_bench
    bench.submit()
    resets: list[threading.Thread] = []

    def reset_meanwhile() -> None:
        resets.append(threading.Thread(target=foreign.reset, args=(bench.path, "job")))
        resets[0].start()
        query = f"SELECT 1 FROM pg_stat_activity WHERE {OURS.replace('clworker', '')} AND wait_event_type = 'Lock'"
        wait_until(lambda: databases.rows(bench.path, query), "the reset waits for our lock")
        assert bench.row()["status"] == "processing"

    claim = bench.claim()
    bench.store.claims.finish(claim, DONE, reset_meanwhile)
    resets[0].join(20)
    assert bench.row()["status"] == "queued"
    with pytest.raises(ClaimLost):
        bench.store.claims.progress(claim, 5)


def test_what_two_lock_in_opposite_order_is_done_in_the_end(server_bench: Bench) -> None:
    bench = server_bench
    for job_id in ("a", "b"):
        bench.submit(job_id)
    cancelled: list[Any] = []
    with transaction(bench.path, "UPDATE jobs SET progress = 1 WHERE job_id = 'b'") as other:
        caring = threading.Thread(target=lambda: cancelled.extend(bench.store.care.cancel(["b", "a"])))
        caring.start()
        waiting = f"SELECT 1 FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"
        wait_until(lambda: databases.rows(bench.path, waiting), "our transaction waits")
        with pytest.raises((psycopg.errors.DeadlockDetected, ZeroDivisionError)):
            other.execute("UPDATE jobs SET progress = 1 WHERE job_id = 'a'")
            raise ZeroDivisionError  # it was our transaction that was undone, and is tried again
    caring.join(20)
    assert [cared.action for cared in cancelled] == ["cancelled"] * 2


# Rights, replicas, and servers that let nobody in.


def test_a_user_without_rights_is_told_which_grant_is_needed(postgresql: Emptied, database: Path) -> None:
    place, server = postgresql.fresh("current", database), postgresql.server
    name = place.url.rpartition("/")[2]
    server.execute("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    server.execute(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO guest",
        "GRANT USAGE ON SEQUENCE jobs_id_seq TO guest",
        database=name,
    )
    url = server.url(name, "guest")
    with pytest.raises(StoreUnavailable, match=r"permission denied .*; let its owner run GRANT USAGE, CREATE ON"):
        Store(url)
    databases.open_store(place).close()
    with pytest.raises(StoreUnavailable, match=r"clworker_schema; let its owner run GRANT SELECT, INSERT,"):
        Store(url)
    server.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO guest",
        database=name,
    )
    store = Store(url)
    store.jobs.add(NewJob("job", TASK, {}))
    (claim,) = store.claims.claim("instance-a", [TASK])
    store.claims.finish(claim, DONE)
    store.close()


def test_a_missing_index_that_only_the_owner_may_make_is_a_warning(
    postgresql: Emptied, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, server = postgresql.fresh("current", database), postgresql.server
    name = place.url.rpartition("/")[2]
    server.execute("DROP ROLE IF EXISTS tenant", "CREATE ROLE tenant LOGIN")
    server.execute(
        "GRANT ALL ON SCHEMA public TO tenant",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO tenant",
        "GRANT USAGE ON SEQUENCE jobs_id_seq TO tenant",
        database=name,
    )
    store = Store(server.url(name, "tenant"))
    (warning, _) = [record.__dict__ for record in caplog.records if "an index is missing" in record.message]
    assert str(warning["statement"]).startswith("CREATE INDEX clworker_jobs_queue ON jobs (task_type, priority DESC")
    store.jobs.add(NewJob("job", TASK, {}))
    assert [claim.job_id for claim in store.claims.claim("instance-a", [TASK])] == ["job"]
    store.close()


def test_a_server_in_trouble_is_told_in_one_line_and_used_again_when_it_is_back(database: Path) -> None:
    """A server of its own: it is stopped, full, a replica for a while, and asks for a password."""
    server = Server()
    try:
        server.start(max_connections="8", superuser_reserved_connections="0").execute(
            "CREATE DATABASE media", "CREATE ROLE clerk LOGIN PASSWORD 'right'", "GRANT ALL ON DATABASE media TO clerk"
        )
        place = ServerPlace(server.url("media"), database)
        store = databases.open_store(place)
        store.jobs.add(NewJob("job", TASK, {}))
        (claim,) = store.claims.claim("instance-a", [TASK])
        others = [place.connect() for _ in range(7)]
        with pytest.raises(StoreUnavailable, match="too many connections; raise its max_connections"):
            databases.open_store(place)
        for other in others:
            other.close()

        server.stop()
        with pytest.raises(StoreUnavailable, match=r"Connection refused; see whether the server runs"):
            store.claims.progress(claim, 5)
        (server.data / "standby.signal").touch()
        server.start()
        with pytest.raises(StoreUnavailable, match="is read-only: a replica"):
            store.claims.progress(claim, 5)
        assert store.jobs.find("job").status == "processing"
        server.stop(signal.SIGQUIT)
        (server.data / "standby.signal").unlink()
        (server.data / "pg_hba.conf").write_text("host all postgres all trust\nhost media clerk all scram-sha-256\n")
        server.start()
        store.claims.finish(claim, DONE)
        assert store.jobs.find("job").status == "completed"
        store.close()

        urls = {
            "postgresql://clerk:wr%40ng@127.0.0.1:{}/media": r'authentication failed for user "clerk"; correct',
            "postgresql://clerk@127.0.0.1:{}/media": "no password supplied; put the password into DATABASE_URL",
            "postgresql://clerk:right@127.0.0.1:{}/postgres": r"no pg_hba.conf entry .*; let this user in",
            "postgresql://postgres@127.0.0.1:{}/none": r'database "none" does not exist; correct the name',
            "postgresql://postgres@no.such.invalid:{}/media": "correct the host in DATABASE_URL",
        }
        for url, message in urls.items():
            with pytest.raises(StoreUnavailable, match=message) as caught:
                Store(url.format(server.port))
            assert "wr%40ng" not in str(caught.value) and "wr@ng" not in str(caught.value)
        with pytest.raises(UsageFault, match='invalid connection option "colour"; correct DATABASE_URL'):
            Store(f"{place.url}?colour=red")
    finally:
        server.remove()


# Telling of queued jobs.


def test_queued_jobs_are_heard_of_also_after_the_connection_was_cut(server_bench: Bench) -> None:
    bench = server_bench
    heard = threading.Event()
    changes = bench.store.database.watch_changes()
    assert isinstance(changes, announcements.Announcements)
    changes.follow(heard.set)
    listening = f"{OURS} AND query LIKE 'LISTEN%'"
    listeners = f"SELECT 1 FROM pg_stat_activity WHERE {listening}"

    def waits_for(act: Any) -> None:
        heard.clear()
        act()
        assert heard.wait(20)

    try:
        assert heard.wait(20)  # it listens
        waits_for(bench.submit)
        claim = bench.claim()
        waits_for(lambda: bench.store.claims.give_back(claim, Cause.STOPPED, counted=False))
        claim = bench.claim()
        waits_for(lambda: bench.store.rescues.rescue("instance-a"))
        bench.store.claims.finish(bench.claim(), Outcome.failed("x"))
        waits_for(lambda: bench.store.care.retry(["job"], force=False))
        waits_for(lambda: cut(bench.path, listening))  # what came in between may have been missed
        wait_until(
            lambda: databases.rows(bench.path, f"SELECT 1 FROM pg_stat_activity WHERE {listening}"), "it is back"
        )
        waits_for(lambda: bench.submit("another"))
    finally:
        changes.close()
    wait_until(lambda: not databases.rows(bench.path, listeners), "its connection is gone")
