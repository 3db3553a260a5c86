"""``ChangeProbe`` tells of other connections' commits, and disturbs nobody."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clworker.core.store.changes import ChangeProbe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "media.db"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, in WAL mode."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
        yield connection


@pytest.fixture
def probe(path: Path, writer: sqlite3.Connection) -> Iterator[ChangeProbe]:
    with closing(ChangeProbe(str(path))) as opened:
        yield opened


def test_a_commit_is_told_once(probe: ChangeProbe, writer: sqlite3.Connection) -> None:
    assert not probe.changed()
    writer.execute("INSERT INTO t VALUES (1)")
    assert probe.changed()
    assert not probe.changed()


def test_several_commits_between_two_looks_are_one_change(probe: ChangeProbe, writer: sqlite3.Connection) -> None:
    for _ in range(3):
        writer.execute("INSERT INTO t VALUES (1)")
    assert probe.changed()
    assert not probe.changed()


def test_only_what_is_committed_counts(probe: ChangeProbe, writer: sqlite3.Connection) -> None:
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO t VALUES (1)")
    assert not probe.changed()
    writer.execute("ROLLBACK")
    assert not probe.changed()
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO t VALUES (1)")
    writer.execute("COMMIT")
    assert probe.changed()


def test_a_commit_before_the_probe_is_no_change(path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("INSERT INTO t VALUES (1)")
    with closing(ChangeProbe(str(path))) as late:
        assert not late.changed()


def test_the_probe_never_keeps_a_writer_out_nor_a_checkpoint_incomplete(
    probe: ChangeProbe, writer: sqlite3.Connection
) -> None:
    for _ in range(3):
        writer.execute("INSERT INTO t VALUES (1)")  # with a time-out of 0: any lock would be an error
        assert probe.changed()
        busy, _in_log, _written_back = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0
    writer.execute("INSERT INTO t VALUES (1)")
    assert probe.changed()


def test_a_database_that_is_locked_for_everybody_is_no_change_until_it_is_free(
    probe: ChangeProbe, path: Path, writer: sqlite3.Connection
) -> None:
    writer.execute("INSERT INTO t VALUES (1)")
    assert probe.changed()
    with closing(sqlite3.connect(path.with_name("rollback.db"), isolation_level=None)) as exclusive:
        exclusive.execute("CREATE TABLE t (x)")  # without WAL an exclusive lock keeps readers out too
        with closing(ChangeProbe(str(path.with_name("rollback.db")))) as other:
            exclusive.execute("BEGIN EXCLUSIVE")
            exclusive.execute("INSERT INTO t VALUES (1)")
            assert not other.changed()
            exclusive.execute("COMMIT")
            assert other.changed()


def test_a_database_that_cannot_be_opened_is_no_change_until_it_can(path: Path) -> None:
    below = path.parent / "later" / "media.db"
    with closing(ChangeProbe(str(below))) as early:
        assert not early.changed()
        below.parent.mkdir()
        assert early.changed()
        assert not early.changed()


def test_a_paused_probe_holds_no_file_and_asks_for_a_look_when_it_goes_on(
    probe: ChangeProbe, path: Path, writer: sqlite3.Connection
) -> None:
    probe.pause()
    writer.execute("INSERT INTO t VALUES (1)")
    assert not probe.changed()
    assert writer.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)  # only the last connection may
    probe.resume()
    assert probe.changed()
    assert not probe.changed()
