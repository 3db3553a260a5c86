"""docs/postgresql.md on a real server: its SQL gives the rights that it promises, its commands move a queue."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.in_process import InProcess
from tests.support.postgres import Place, Server
from tests.support.program import PROGRAM
from tests.support.waiting import wait_until
from tools.console import ROOT, Session, Shell, replay, same_but_for_what_varies, sessions

PAGE = (ROOT / "docs" / "postgresql.md").read_text()
ROLES = ("media_owner", "media_worker", "media_producer")
HOST = "db.example"
QUEUE: list[dict[str, Any]] = [
    {"job_id": "done", "task_type": "image_resize", "status": "completed", "progress": 100, "completed_at": 1},
    {"job_id": "waits", "task_type": "image_conversion", "params": {"format": "webp"}},
]


class Media:
    """The database of the page, in which passwords are asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.statements: list[tuple[str, str, str]] = re.findall(
            r"<!-- run as (\w+) in (\w+) -->\n```sql\n(.*?)```", PAGE, re.DOTALL
        )
        self.passwords = dict(re.findall(r"CREATE ROLE (\w+) LOGIN PASSWORD '(.+?)'", PAGE))

    def ask_for_passwords(self) -> None:
        """Ask these roles, and them alone, for theirs."""
        rules = self._server.data / "pg_hba.conf"
        line = f"host media {','.join(ROLES)} 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(line + rules.read_text())
        self._server.execute("SELECT pg_reload_conf()")
        wait_until(self._asks, "the server asks for passwords")

    def _asks(self) -> bool:
        try:
            psycopg.connect(self.url("media_worker")).close()
        except psycopg.OperationalError:
            return True
        return False

    def connect(self, user: str, database: str = "media") -> "psycopg.Connection[tuple[object, ...]]":
        url = self._server.url(database, user)
        return psycopg.connect(url, password=self.passwords.get(user), autocommit=True)

    def run(self, number: int) -> None:
        """Run one of the page's blocks of SQL, statement by statement as psql does."""
        user, database, block = self.statements[number]
        with self.connect(user, database) as connection:
            for statement in block.split(";\n"):
                if statement.strip():
                    connection.execute(statement.encode())

    def url(self, user: str) -> str:
        return self._server.url("media", user)

    def write_pgpass(self, path: Path) -> None:
        """Write a password file as the page says; libpq ignores one that others can read."""
        port = self._server.port
        path.write_text("".join(f"127.0.0.1:{port}:media:{user}:{word}\n" for user, word in self.passwords.items()))
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)

    def remove(self) -> None:
        self._server.execute(
            "DROP DATABASE IF EXISTS media WITH (FORCE)", *(f"DROP ROLE IF EXISTS {role}" for role in ROLES)
        )


@pytest.fixture
def media(postgresql: Emptied) -> Iterator[Media]:
    """The database with its roles, by the first block of the page; it holds no tables yet."""
    made = Media(postgresql.server)
    assert set(made.passwords) == set(ROLES)
    assert [user for user, _, _ in made.statements] == ["postgres", *["media_owner"] * 3]
    try:
        made.run(0)
        made.ask_for_passwords()
        yield made
    finally:
        made.remove()


def test_each_role_can_do_what_it_is_for_and_no_more(media: Media, command: InProcess, tmp_path: Path) -> None:
    environ = command.program.environ
    environ["DATABASE_URL"] = media.url("media_worker")
    refused = command.run("jobs")
    assert refused.code == 69 and "password" in refused.errors[0]

    media.write_pgpass(tmp_path / "pgpass")
    environ["PGPASSFILE"] = str(tmp_path / "pgpass")
    refused = command.run("jobs")
    assert refused.code == 69 and "GRANT USAGE, CREATE ON SCHEMA public" in refused.errors[0]
    command.ok("jobs", DATABASE_URL=media.url("media_owner"))
    media.run(1)
    media.run(2)

    with media.connect("media_producer") as producer:
        insert: LiteralString = """
            INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at,
                              retry_count, max_retries)
            VALUES ('from-a-service', 'no_such_task', 5, '{}', 'queued', 0, 1, 0, 3)"""
        producer.execute(insert)
        for statement in ("UPDATE jobs SET priority = 9", "DELETE FROM jobs", "SELECT * FROM clworker_attempts"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                producer.execute(statement.encode())

    found = {check["name"]: check["state"] for check in command.run("doctor", "-f", "json").json}
    assert (found["database"], found["generation"], found["claim"]) == ("ok", "ok", "ok")
    assert command.ok("jobs", "cancel", "from-a-service", "-f", "json").json[0]["action"] == "cancelled"
    assert command.ok("jobs", "retry", "from-a-service").code == 0
    command.ok("jobs", "cancel", "from-a-service")
    purged = command.ok("jobs", "purge", "--older-than", "0s", "--status", "error", "-f", "json")
    assert purged.json["rows"] == 1
    with media.connect("media_worker") as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute("ALTER TABLE jobs ADD COLUMN mine TEXT")
    media.run(3)
    options = "SELECT reloptions::text FROM pg_class WHERE relname = 'jobs'"
    with media.connect("media_worker") as worker:
        assert "autovacuum_vacuum_scale_factor=0.02" in str(worker.execute(options).fetchone())


def test_the_queue_moves_to_the_server_and_back_by_the_commands_of_the_page(media: Media, tmp_path: Path) -> None:
    place = Place(
        media.url("media_owner").replace("media_owner@", f"media_owner:{media.passwords['media_owner']}@"),
        tmp_path / "home",
    )
    databases.open_store(place).close()
    media.run(1)
    media.write_pgpass(tmp_path / ".pgpass")
    address = media.url("media_worker").rpartition("@")[2].partition("/")[0]
    said = sessions(PAGE)
    assert sum(len(session.commands) for session in said) == 11
    here = [Session([one.replace(HOST, address) for one in session.commands], session.outputs) for session in said]
    (tmp_path / "cl").mkdir()
    databases.create(tmp_path / "cl" / "media_store.db", "current")
    databases.insert(tmp_path / "cl" / "media_store.db", QUEUE)
    with Shell(tmp_path, f"{Path(PROGRAM).parent}:/usr/bin:/bin") as shell:
        shell.run("export CL_SERVER_DIR=$PWD/cl BROADCAST_TYPE=noop")
        for before, now in zip(said, replay(here, shell), strict=True):
            for one, old, new in zip(before.commands, before.outputs, now.outputs, strict=True):
                assert same_but_for_what_varies(old) == same_but_for_what_varies(new), f"{one}\nprints\n{new}"
    for database in (place, tmp_path / "cl" / "media_store.db"):
        rows = databases.rows(database, "SELECT job_id, status FROM jobs ORDER BY job_id")
        assert [tuple(row.values()) for row in rows] == [("done", "completed"), ("waits", "queued")]
