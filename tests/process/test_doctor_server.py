"""What the doctor says of a PostgreSQL server: old transactions, lossy settings, few connections, bad upkeep."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from clworker.core.doctor import server
from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.in_process import InProcess
from tests.support.postgres import Place
from tests.support.waiting import wait_until

Diagnosis = Callable[[], dict[str, tuple[str, str, str | None]]]
TENANT = "tenant_of_doctor"


@pytest.fixture
def diagnosis(command: InProcess, postgresql: Emptied, server_place: Place) -> Iterator[Diagnosis]:
    """Runs the doctor as a user of its own, and returns state, finding and advice of each check of the database."""
    name = server_place.url.rpartition("/")[2]
    postgresql.server.execute(f"DROP ROLE IF EXISTS {TENANT}", f"CREATE ROLE {TENANT} LOGIN")
    postgresql.server.execute(f"GRANT ALL ON SCHEMA public TO {TENANT}", database=name)
    url = postgresql.server.url(name, TENANT)
    databases.open_store(Place(url, server_place.home)).close()

    def found() -> dict[str, tuple[str, str, str | None]]:
        checks: Sequence[Any] = command.run("doctor", "-f", "json", DATABASE_URL=url).json
        return {check["name"]: (check["state"], check["found"], check["advice"]) for check in checks}

    yield found
    postgresql.server.execute(f"DROP OWNED BY {TENANT}", database=name)
    postgresql.server.execute(f"DROP ROLE {TENANT}")


def test_a_sound_server_is_in_order(diagnosis: Diagnosis) -> None:
    checks = diagnosis()
    names = ("database", "wal", "generation", "claim", "snapshots", "stale-claims", "connections", "upkeep")
    assert {name: checks[name][0] for name in names} == dict.fromkeys(names, "ok")
    assert checks["upkeep"][1].endswith(" dead rows beside 0 in the table jobs")
    assert checks["connections"][1].endswith(" of 57 connections are in use")


def test_what_makes_claims_slow_or_outcomes_uncertain_is_a_warning(
    diagnosis: Diagnosis, postgresql: Emptied, server_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_OLD_SECONDS", 0.0)
    monkeypatch.setattr(server, "_MANY_DEAD", 0)
    name = server_place.url.rpartition("/")[2]
    postgresql.server.execute(
        f"ALTER ROLE {TENANT} SET synchronous_commit = off",
        f"ALTER ROLE {TENANT} CONNECTION LIMIT 2",
        f"GRANT pg_monitor TO {TENANT}",
    )
    postgresql.server.execute("DROP INDEX clworker_jobs_queue", database=name)
    with server_place.connect(application_name="sleeper") as other:
        other.execute("INSERT INTO clworker_purged VALUES ('x')")
        pid = other.info.backend_pid
        checks = diagnosis()
        other.rollback()
    told = {name: check for name, check in checks.items() if check[0] == "warning"}
    assert told["wal"][1] == "synchronous_commit is off: a crash of the server can take back outcomes that were told"
    assert f"a transaction of sleeper (pid {pid} of the server, idle in transaction) is " in told["snapshots"][1]
    assert told["snapshots"][2] == f"end that program, or SELECT pg_terminate_backend({pid})"
    assert told["connections"][1:] == (
        "this user may have 2 connections, and a worker needs up to 3",
        "raise its CONNECTION LIMIT: 3 for each worker",
    )
    assert told["upkeep"][1] == "the table jobs lacks clworker_jobs_queue: claims or counts get slow"

    databases.open_store(server_place).close()
    databases.insert(server_place, [{"job_id": f"job-{number}"} for number in range(50)])
    databases.execute(server_place, "DELETE FROM jobs")
    counted = "SELECT 1 FROM pg_stat_all_tables WHERE relname = 'jobs' AND n_dead_tup >= 50"
    wait_until(lambda: databases.rows(server_place, counted), "the server has counted the dead rows")
    state, told_of_rows, _ = diagnosis()["upkeep"]
    assert state == "warning" and told_of_rows.endswith(" dead rows beside 0 in the table jobs: claims get slow")
    databases.execute(server_place, "ALTER TABLE jobs SET (autovacuum_enabled = false)")
    assert diagnosis()["upkeep"][1] == "autovacuum is off: dead rows pile up, and claims get slow"
