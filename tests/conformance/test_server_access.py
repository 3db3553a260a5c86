"""The ways to a PostgreSQL server, and what keeps one from it: passwords, TLS, limits, time-outs, full disks."""

import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clworker.core.errors import SchemaMismatch, StoreUnavailable, UsageFault
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus, NewJob
from clworker.core.parsing import database_url
from clworker.core.store import postgres_connections
from clworker.core.store.store import Store
from tests.conformance.conftest import TASK
from tests.support import databases
from tests.support.certificates import Certificates
from tests.support.disks import fill, small_disk
from tests.support.emptied import Emptied
from tests.support.postgres import Place, Server, unprivileged

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"a": 1})
HBA = """
local all all trust
host all postgres all trust
hostssl media clerk all scram-sha-256
"""


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Server, Certificates]]:
    """A server with a socket, TLS, and a user ``clerk`` with a password, who may come by TLS alone."""
    server = Server()
    try:
        made = Certificates.make(server.folder / "tls")
        for path in (server.folder / "tls", made.server_key):
            os.chown(path, unprivileged() or -1, -1)
        made.server_key.chmod(0o600)
        tls = {"ssl": "on", "ssl_cert_file": str(made.server), "ssl_key_file": str(made.server_key)}
        (server.data / "pg_hba.conf").write_text(HBA)
        server.start(**tls, unix_socket_directories=str(server.folder))
        server.execute(
            "CREATE DATABASE media", "CREATE ROLE clerk LOGIN PASSWORD 'p@s/s''%'", "ALTER ROLE clerk SUPERUSER"
        )
        yield server, made
    finally:
        server.remove()


def is_reached(url: str) -> bool:
    """Tell whether a store can be opened by this value of ``DATABASE_URL``."""
    store = Store(database_url(url), home=Path(os.devnull))
    store.jobs.get("job")
    store.close()
    return True


def test_every_way_to_name_a_server_leads_there(
    guarded: tuple[Server, Certificates], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, made = guarded
    at, ca = f"127.0.0.1:{server.port}", f"sslmode=verify-full&sslrootcert={made.ca}"
    assert is_reached(f"postgresql://postgres@/media?host={server.folder}&port={server.port}")
    assert is_reached(f"postgresql://postgres@127.0.0.1:1,{at}/media")
    assert is_reached(f"postgres+asyncpg://postgres@/media?host=127.0.0.1:1&host={at}")
    assert is_reached(f"postgresql://clerk:p%40s%2Fs'%25@{at}/media?{ca}")

    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "passes"))
    (tmp_path / "passes").write_text(f"127.0.0.1:{server.port}:media:clerk:p@s/s'%\n")
    (tmp_path / "passes").chmod(0o600)
    assert is_reached(f"postgresql://clerk@{at}/media?sslmode=require")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    (tmp_path / "services").write_text(f"[queue]\nhost=127.0.0.1\nport={server.port}\ndbname=media\nuser=clerk\n")
    assert is_reached("postgresql:///?service=queue")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=disable", "no pg_hba.conf entry .*, no encryption; let this user in, .*; or put sslmode=require"),
        ("sslmode=verify-full", r'root certificate file ".*" does not exist; name the file of its CA'),
        ("sslmode=verify-ca&sslrootcert={other}", "certificate verify failed; name the file of its CA"),
        ("host=localhost&sslmode=verify-full&sslrootcert={ca}", 'does not match host name "localhost"; connect under'),
        ("sslmode=require&target_session_attrs=read-only", "session is not read-only; leave target_session_attrs out"),
        ("sslmode=require&options=-cnone%3D1", 'unrecognized configuration parameter "none"; correct the options'),
        ("service=none", 'definition of service "none" not found; correct the service'),
    ],
)
def test_what_a_server_or_its_certificate_does_not_allow_is_told(
    guarded: tuple[Server, Certificates], tmp_path: Path, query: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, made = guarded
    monkeypatch.setenv("HOME", str(tmp_path))
    query = query.format(ca=made.ca, other=Certificates.make(tmp_path / "tls").ca)
    with pytest.raises(StoreUnavailable, match=message) as caught:
        is_reached(f"postgresql://clerk:p%40s%2Fs'%25@127.0.0.1:{server.port}/media?{query}")
    assert "p@s" not in str(caught.value) and "p%40s" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("query", ["sslmode=true", "connect_timeout=soon", "colour=red", "gssencmode=maybe"])
def test_a_parameter_that_can_never_be_right_is_a_usage_error(guarded: tuple[Server, Certificates], query: str) -> None:
    with pytest.raises(UsageFault, match=f"{query.partition('=')[0]}.*; correct DATABASE_URL$"):
        is_reached(f"postgresql://postgres@127.0.0.1:{guarded[0].port}/media?{query}")


def test_limits_on_connections_are_told_with_whose_they_are(postgresql: Emptied, database: Path) -> None:
    place, server = postgresql.fresh("own", database), postgresql.server
    name = place.url.rpartition("/")[2]
    server.execute(
        "CREATE ROLE lonely LOGIN CONNECTION LIMIT 0", "CREATE ROLE shy", f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"
    )
    told = {
        "lonely": "too many connections for role .*; raise its limit .ALTER role lonely CONNECTION LIMIT",
        "shy": "not permitted to log in; give it that right",
    }
    for user, message in told.items():
        with pytest.raises(StoreUnavailable, match=message):
            is_reached(server.url(name, user))
    server.execute("ALTER ROLE shy LOGIN")
    with pytest.raises(StoreUnavailable, match=f"let its owner run GRANT CONNECT ON DATABASE {name} TO this user"):
        is_reached(server.url(name, "shy"))
    server.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0", f"GRANT CONNECT ON DATABASE {name} TO shy")
    with pytest.raises(StoreUnavailable, match=f"too many connections for database .*ALTER database {name} CONN"):
        is_reached(server.url(name, "shy"))
    server.execute("DROP ROLE lonely", f"REVOKE ALL ON DATABASE {name} FROM shy", "DROP ROLE shy")


def test_a_server_that_is_too_old_is_refused(postgresql: Emptied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connections, "_OLDEST", 99)
    with pytest.raises(
        StoreUnavailable, match=r"^database \S+: its server is PostgreSQL \d+\.\d.*; clworker needs 99 or"
    ):
        is_reached(postgresql.server.url())


def test_the_administrators_time_limits_do_not_hold_for_our_transactions(postgresql: Emptied, database: Path) -> None:
    """Ours do: a wait for a lock and a pause before the commit that are longer than his."""
    place = postgresql.fresh("own", database)
    name = place.url.rpartition("/")[2]
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
    postgresql.server.execute(*(f"ALTER DATABASE {name} SET {limit} = 200" for limit in limits))
    store = databases.open_store(place)
    store.jobs.add(NewJob("job", TASK, {}))
    (claim,) = store.claims.claim("instance-a", [TASK])
    with place.connect() as other:
        other.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        other.execute("UPDATE jobs SET progress = 1")
        releasing = threading.Timer(0.5, other.commit)
        releasing.start()
        store.claims.finish(claim, DONE, lambda: time.sleep(0.5))
        releasing.join()
    time.sleep(0.5)  # beyond the limit on idle connections
    assert store.jobs.find("job").status == "completed"
    store.close()


def test_a_full_disk_of_the_server_loses_nothing(database: Path) -> None:
    server = Server()
    try:
        server.start()
        with small_disk(server.folder / "disk", "24m") as disk:
            shutil.chown(disk, unprivileged() or os.geteuid())
            server.execute(f"CREATE TABLESPACE small LOCATION '{disk}'", "CREATE DATABASE media TABLESPACE small")
            store = databases.open_store(Place(server.url("media"), database))
            store.jobs.add(NewJob("job", TASK, {}))
            (claim,) = store.claims.claim("instance-a", [TASK])
            noise = random.Random(1).randbytes(1 << 20).hex()
            large = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output=noise)
            filling = fill(disk)
            with pytest.raises(StoreUnavailable, match=r"the server's disk is full$"):
                store.claims.finish(claim, large)
            assert store.jobs.find("job").status == "processing"
            filling.unlink()
            store.claims.finish(claim, large)
            assert store.jobs.find("job").status == "completed"
            store.close()
            server.stop()
    finally:
        server.remove()


def test_a_view_in_place_of_the_table_is_refused_and_a_partitioned_table_works(
    postgresql: Emptied, database: Path
) -> None:
    place = postgresql.fresh("current", database)
    with place.connect() as other:
        other.execute("ALTER TABLE jobs RENAME TO archive")
        other.execute("CREATE VIEW jobs AS SELECT * FROM archive")
    with pytest.raises(SchemaMismatch, match="its jobs is a view or a foreign table, in which rows cannot be locked"):
        databases.open_store(place)
    with place.connect() as other:
        other.execute("DROP VIEW jobs")
        other.execute("CREATE TABLE jobs (LIKE archive INCLUDING DEFAULTS) PARTITION BY HASH (id)")
        for number in range(2):
            part = f"CREATE TABLE part_{number} PARTITION OF jobs FOR VALUES WITH (MODULUS 2, REMAINDER {number})"
            other.execute(part.encode())
    store = databases.open_store(place)
    for number in range(4):
        store.jobs.add(NewJob(f"job-{number}", TASK, {}))
    claims = store.claims.claim("instance-a", [TASK], 4)
    assert [claim.job_id for claim in claims] == [f"job-{number}" for number in range(4)]
    for claim in claims:
        store.claims.finish(claim, DONE)
    assert {row["status"] for row in databases.rows(place, "SELECT status FROM jobs")} == {"completed"}
    store.close()


def test_tables_are_found_along_the_search_path(postgresql: Emptied, database: Path) -> None:
    """Also where the first schema of the path is another, in which the user could make tables of his own."""
    place, server = postgresql.fresh("first", database), postgresql.server
    name = place.url.rpartition("/")[2]
    databases.open_store(place).close()
    server.execute("CREATE SCHEMA media", "CREATE TABLE elsewhere (id INT)", database=name)
    store = Store(f"{place.url}?options=-csearch_path%3Dmedia,public", home=place.home)
    store.jobs.add(NewJob("job", TASK, {}))
    store.close()
    assert databases.rows(place, "SELECT job_id FROM public.jobs") == [{"job_id": "job"}]
    assert databases.rows(place, "SELECT 1 FROM pg_tables WHERE schemaname = 'media'") == []
    apart = Store(f"{place.url}?options=-csearch_path%3Dmedia", home=place.home)
    assert apart.jobs.get("job") is None
    apart.close()
