"""What the store says of a database that it cannot use, and that it leaves such a database alone."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from clworker.core.environment import load_settings
from clworker.core.errors import DatabaseLost, SchemaMismatch, StoreUnavailable
from clworker.core.models.attempts import Outcome
from clworker.core.store.store import Store
from clworker.core.store.tables import SCHEMA_VERSION
from tests.conformance.conftest import Bench
from tests.support import databases
from tests.support.program import Program


def contents(path: Path) -> list[dict[str, object]]:
    return databases.rows(path, "SELECT name, sql FROM sqlite_master ORDER BY name")


@contextmanager
def transaction(path: Path, begin: str) -> Iterator[sqlite3.Connection]:
    """Another program's transaction, open for the time of the block."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute(begin)
        yield connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def database_of(bench: Bench) -> Path:
    assert isinstance(bench.path, Path)
    return bench.path


NEEDED = ["job_id", "status", "params", "created_at", "started_at", "retry_count"]


@pytest.mark.parametrize("column", NEEDED)
def test_a_jobs_table_that_lacks_a_column_is_of_neither_generation(made_database: Path, column: str) -> None:
    """It is refused by the column's name, and not even clworker's own tables are added."""
    databases.execute(made_database, f"ALTER TABLE jobs RENAME COLUMN {column} TO other")
    before = contents(made_database)
    with pytest.raises(SchemaMismatch, match=f"neither generation .* missing columns: {column}$"):
        Store(f"sqlite:///{made_database}")
    assert contents(made_database) == before


def test_a_jobs_table_without_a_result_is_of_neither_generation(database: Path) -> None:
    databases.create(database, "current")
    databases.execute(database, "ALTER TABLE jobs DROP COLUMN output")
    with pytest.raises(SchemaMismatch, match=r"missing columns: output$"):
        Store(f"sqlite:///{database}")


def test_further_columns_of_others_do_no_harm(file_bench: Bench) -> None:
    databases.execute(file_bench.path, "ALTER TABLE jobs ADD COLUMN colour TEXT DEFAULT 'red'")
    reopened = Store(f"sqlite:///{file_bench.path}")
    file_bench.queue()
    reopened.claims.finish(file_bench.claim(), Outcome.failed("x"))
    assert (file_bench.row()["status"], file_bench.row()["colour"]) == ("error", "red")
    reopened.close()


@pytest.mark.parametrize("complete", [True, False], ids=["with all our tables", "without some of them"])
def test_a_database_of_a_newer_clworker_is_left_alone(database: Path, complete: bool) -> None:
    if complete:
        Store(f"sqlite:///{database}").close()
        databases.execute(database, "UPDATE clworker_schema SET version = version + 1")
    else:
        databases.execute(database, "CREATE TABLE clworker_schema (version INTEGER NOT NULL)")
        databases.execute(database, "INSERT INTO clworker_schema VALUES (?)", SCHEMA_VERSION + 1)
    before = contents(database)
    with pytest.raises(SchemaMismatch, match=r"newer clworker \(its tables have version 2, this program knows 1\)"):
        Store(f"sqlite:///{database}")
    assert contents(database) == before


@pytest.mark.parametrize("content", [b"not a database " * 400, b"\x00" * 4096, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_left_alone(database: Path, content: bytes) -> None:
    database.write_bytes(content)
    with pytest.raises(DatabaseLost, match="is damaged or is no SQLite database") as failure:
        Store(f"sqlite:///{database}")
    assert str(database) in str(failure.value)
    assert database.read_bytes() == content


def test_an_empty_file_is_an_empty_database(database: Path) -> None:
    database.touch()
    store = Store(f"sqlite:///{database}")
    assert store.jobs.get("job") is None
    store.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=f"check that the folder {tmp_path}/gone exists"):
        Store(f"sqlite:///{tmp_path}/gone/media_store.db")
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "name", ["what?", "100%", "a%20b", "c#d", "e&f=g", "spaced out", "größe-東京", "x:y@z", "q'\""]
)
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    settings = load_settings({}, {"CL_SERVER_DIR": str(tmp_path / name)})
    Store(settings.database_url).close()
    assert [path.name for path in (tmp_path / name).iterdir()] == ["media_store.db"]
    assert settings.database_path == tmp_path / name / "media_store.db"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_lock_held_for_too_long_is_told_apart_and_costs_nothing(file_bench: Bench, begin: str) -> None:
    """Readers go on meanwhile; once the lock is gone, the same store works again."""
    file_bench.submit()
    claim = file_bench.claim()
    impatient = Store(f"sqlite:///{file_bench.path}", busy_timeout=0.05)
    with transaction(database_of(file_bench), begin):
        with pytest.raises(StoreUnavailable, match="locked by another program for too long"):
            impatient.claims.finish(claim, Outcome.failed("x"))
        job = impatient.jobs.get("job")
        assert job is not None and job.status == "processing"
    impatient.claims.finish(claim, Outcome.failed("x"))
    assert file_bench.row()["status"] == "error"
    impatient.close()


def test_a_short_lock_is_waited_for(file_bench: Bench) -> None:
    file_bench.submit()
    claim = file_bench.claim()
    with transaction(database_of(file_bench), "BEGIN IMMEDIATE") as other:
        finishing = threading.Thread(target=file_bench.store.claims.finish, args=(claim, Outcome.failed("x")))
        finishing.start()
        assert file_bench.row()["status"] == "processing"
        other.execute("COMMIT")
        finishing.join(20)
    assert file_bench.row()["status"] == "error"


def test_a_database_that_another_program_writes_is_switched_to_wal_once_it_has_done(made_database: Path) -> None:
    """SQLite itself does not wait here, so neither did several workers that started on a new database at once."""
    with closing(sqlite3.connect(made_database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    opened: list[Store] = []
    with transaction(made_database, "BEGIN IMMEDIATE") as other:
        opening = threading.Thread(target=lambda: opened.append(Store(f"sqlite:///{made_database}")))
        opening.start()
        opening.join(0.2)
        assert opening.is_alive()
        other.execute("COMMIT")
        opening.join(20)
    (store,) = opened
    assert databases.rows(made_database, "PRAGMA journal_mode") == [{"journal_mode": "wal"}]
    store.close()


def test_a_full_disk_is_said_and_leaves_the_claim_as_it_was(file_bench: Bench) -> None:
    file_bench.submit()
    claim = file_bench.claim()
    before = (file_bench.row(), file_bench.attempts())
    limit = "PRAGMA max_page_count={}".format
    with file_bench.store.database.read() as connection:
        connection.exec_driver_sql(limit(1))  # SQLite makes it the present size
    with pytest.raises(StoreUnavailable, match="its disk is full"):
        file_bench.store.claims.finish(claim, Outcome.failed("x" * 100_000))
    assert (file_bench.row(), file_bench.attempts()) == before
    with file_bench.store.database.read() as connection:
        connection.exec_driver_sql(limit(1_000_000))
    file_bench.store.claims.finish(claim, Outcome.failed("x" * 100_000))
    assert file_bench.row()["status"] == "error"


def test_a_read_only_database_can_be_listed_but_not_worked_on(program: Program, made_database: Path) -> None:
    databases.insert(made_database, [{}])
    Store(f"sqlite:///{made_database}").close()
    made_database.chmod(0o444)
    user = program.without_root_powers()
    assert user.ok("jobs", "-f", "json").json[0]["status"] == "queued"
    once = user.run("once")
    assert once.code == 69
    assert once.errors == [
        f"database sqlite:///{made_database}: is read-only for this user; make the file and its folder writable"
    ]
