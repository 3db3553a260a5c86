"""Files that vanish under an open database: nothing that was committed is lost, nothing goes where nobody looks."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clworker.core.errors import DatabaseLost, StoreUnavailable
from clworker.core.models.jobs import NewJob
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.neighbour import neighbour

WARNING = "database files were removed while in use; opening them anew"
INSERT = (
    "INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, retry_count, max_retries) "
    "VALUES ('other', 't', 5, '{}', 'queued', 0, 1, 0, 3)"
)


def add(store: Store, job_id: str) -> None:
    store.jobs.add(NewJob(job_id, "t", {}))


def job_ids(path: Path) -> list[str]:
    """Return the jobs as a program sees them that opens the database now; it must be whole."""
    assert databases.rows(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    return [row["job_id"] for row in databases.rows(path, "SELECT job_id FROM jobs ORDER BY id")]


def remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        os.unlink(f"{path}{suffix}")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("suffixes", [("-wal",), ("-shm",), ("-wal", "-shm")], ids=" and ".join)
def test_a_log_that_is_removed_costs_no_committed_job(
    store: Store, database: Path, suffixes: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    add(store, "before")
    with closing(store.watch_changes()) as probe:
        remove(database, *suffixes)
        add(store, "after")
        assert job_ids(database) == ["before", "after"]
        assert warnings(caplog) == [WARNING]
        assert probe.changed()
        databases.execute(database, INSERT)
        assert probe.changed()
    add(store, "last")
    assert job_ids(database) == ["before", "after", "other", "last"]
    assert warnings(caplog) == [WARNING]


def test_what_another_program_added_without_the_shared_index_is_kept(store: Store, database: Path) -> None:
    """It recovers a new -shm from the log, adds to the log and is gone; our old index knows nothing of it."""
    add(store, "before")
    remove(database, "-shm")
    with neighbour(database) as other:
        assert other.execute(INSERT) == "[]"
    add(store, "after")
    assert job_ids(database) == ["before", "other", "after"]


def test_a_new_log_of_another_program_is_not_written_over(store: Store, database: Path) -> None:
    add(store, "before")
    databases.rows(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    remove(database, "-wal", "-shm")
    with neighbour(database) as other:
        assert other.execute(INSERT) == "[]"
        add(store, "after")
        assert other.execute("SELECT count(*) FROM jobs") == "[(3,)]"
    assert job_ids(database) == ["before", "other", "after"]


@pytest.mark.parametrize("suffixes", [("-wal",), ("-wal", "-shm")], ids=" and ".join)
@pytest.mark.parametrize("written_back", [False, True], ids=["with jobs in the log", "with all jobs written back"])
def test_as_long_as_others_use_a_log_that_was_removed_nothing_is_written_beside_it(
    store: Store, database: Path, suffixes: tuple[str, ...], written_back: bool
) -> None:
    add(store, "before")
    with neighbour(database) as other:
        assert other.execute("SELECT count(*) FROM jobs") == "[(1,)]"
        if written_back:
            other.execute("PRAGMA wal_checkpoint(FULL)")
        remove(database, *suffixes)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="removed while programs use it; end them all"):
                add(store, "after")
        assert other.execute(INSERT) == "[]"
    add(store, "after")
    assert job_ids(database) == ["before", "other", "after"]


def test_what_was_in_a_log_that_was_removed_outlives_all_who_used_it(store: Store, database: Path) -> None:
    add(store, "before")
    with neighbour(database) as other:
        assert other.execute("SELECT count(*) FROM jobs") == "[(1,)]"
        remove(database, "-wal", "-shm")
        with pytest.raises(StoreUnavailable):
            store.jobs.get("before")
        other.kill()
    assert store.jobs.get("before") is not None
    assert job_ids(database) == ["before"]


def test_others_who_lost_the_log_see_that_a_new_one_is_in_use(store: Store, database: Path) -> None:
    remove(database, "-wal", "-shm")
    assert store.jobs.get("job") is None
    assert database.with_name(f"{database.name}-wal").stat().st_size > 0


def test_damage_that_is_found_after_the_log_was_removed_ends_the_use(store: Store, database: Path) -> None:
    """Even when it is none that the next transaction would come across."""
    databases.execute(database, "CREATE TABLE other AS SELECT hex(randomblob(20000)) AS text")
    databases.rows(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    remove(database, "-wal", "-shm")
    with database.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)
    with pytest.raises(DatabaseLost, match=r"is damaged: .*; restore it from a backup"):
        add(store, "after")


def test_a_database_that_is_gone_is_not_made_anew_and_works_once_it_is_back(
    store: Store, database: Path, tmp_path: Path
) -> None:
    add(store, "before")
    away = tmp_path / "away"
    database.rename(away)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=f"{database} is gone; move it back"):
            add(store, "lost")
        with pytest.raises(StoreUnavailable, match="is gone"):
            store.jobs.get("before")
    assert not database.exists()
    away.rename(database)
    add(store, "after")
    assert job_ids(database) == ["before", "after"]


def test_a_folder_that_is_gone_is_not_made_anew(store: Store, database: Path) -> None:
    add(store, "before")
    shutil.rmtree(database.parent)
    with pytest.raises(StoreUnavailable, match="is gone"):
        add(store, "lost")
    assert not database.parent.exists()


@pytest.mark.parametrize("suffixes", [(), ("-wal", "-shm")], ids=["with the old log", "without a log"])
def test_a_database_that_was_replaced_is_neither_read_nor_written(
    store: Store, database: Path, suffixes: tuple[str, ...], tmp_path: Path
) -> None:
    add(store, "before")
    other = tmp_path / "other.db"
    databases.queue(other, {"job_id": "theirs"})
    remove(database, *suffixes)
    content = other.read_bytes()
    other.replace(database)
    with pytest.raises(DatabaseLost, match=f"{database} was replaced by another one; start again"):
        add(store, "lost")
    with pytest.raises(DatabaseLost, match="was replaced"):
        store.jobs.get("theirs")
    store.close()
    assert database.read_bytes() == content


def test_a_link_that_is_led_to_another_database_is_a_replacement(database: Path, tmp_path: Path) -> None:
    real, other = tmp_path / "real.db", tmp_path / "other.db"
    for path in (real, other):
        databases.create(path, "current")
    database.symlink_to(real)
    with closing(Store(f"sqlite:///{database}")) as store:
        add(store, "before")
        remove(real, "-wal")
        add(store, "after")
        database.unlink()
        database.symlink_to(other)
        with pytest.raises(DatabaseLost):
            add(store, "lost")
    assert (job_ids(real), job_ids(other)) == (["before", "after"], [])


def test_a_store_that_was_closed_accepts_whatever_stands_there(store: Store, database: Path) -> None:
    store.close()
    database.unlink()
    databases.queue(database, {"job_id": "theirs"})
    assert store.jobs.get("theirs") is not None


def test_a_store_that_cannot_be_opened_leaves_no_connection_open(database: Path) -> None:
    databases.create(database, "current")
    databases.execute(database, "ALTER TABLE jobs DROP COLUMN output")
    for _ in range(3):
        with pytest.raises(Exception, match="neither generation"):
            Store(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as alone:
        assert alone.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)  # only the last one may


def test_a_log_is_not_let_go_under_a_transaction(database: Path) -> None:
    with closing(Store(f"sqlite:///{database}", busy_timeout=0.05)) as store:
        add(store, "before")
        with store.database.read():
            remove(database, "-shm")
            with pytest.raises(StoreUnavailable, match="busy with a transaction"):
                add(store, "too early")
        add(store, "after")
    assert job_ids(database) == ["before", "after"]
