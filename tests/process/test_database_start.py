"""Starting on a database in trouble: exit 69 or 2 with one line, no traceback, and nothing left behind."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import databases, disks
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.plugins import PluginFolder
from tests.support.program import Program, Result

RESIZE = ("jobs", "submit", "image_resize", "-p", "width=8", "-p", "height=8")
LOG = (".db-wal", ".db-shm")
ON_A_NETWORK = """
import clworker.core.store.filesystem as filesystem

filesystem.network_file_system = lambda path: "nfs4"
"""


def letter(path: Path) -> None:
    path.write_text("this is a letter, not a database " * 100)


def damaged(path: Path) -> None:
    databases.create(path, "current")
    databases.rows(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def of_neither_generation(path: Path) -> None:
    databases.create(path, "current")
    databases.execute(path, "ALTER TABLE jobs DROP COLUMN params")


def of_a_newer_version(path: Path) -> None:
    databases.create(path, "current")
    databases.execute(path, "CREATE TABLE clworker_schema (version INTEGER NOT NULL)")
    databases.execute(path, "INSERT INTO clworker_schema VALUES (99)")


STATES: list[tuple[Callable[[Path], None], int, str]] = [
    (letter, 69, "no SQLite database"),
    (damaged, 69, "the file is damaged"),
    (of_neither_generation, 2, "neither generation"),
    (of_a_newer_version, 2, "newer clworker"),
]


def files_in(folder: Path) -> dict[str, bytes]:
    """Return every file with its content, apart from the log that SQLite may leave beside a database."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(LOG))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def assert_refused(result: Result, code: int, words: str) -> None:
    assert (result.code, result.stdout, len(result.errors)) == (code, "", 1), result
    assert words in result.errors[0]
    assert "Traceback" not in result.stderr and not [line for line in result.log if line["level"] == "error"]


@pytest.mark.parametrize(("make", "code", "words"), STATES, ids=[state[0].__name__ for state in STATES])
def test_a_database_that_cannot_be_worked_with(
    command: InProcess,
    database: Path,
    picture: Path,
    make: Callable[[Path], None],
    code: int,
    words: str,
) -> None:
    make(database)
    before = files_in(database.parent)
    for args in (("once",), ("jobs",), ("jobs", "show", "x"), (*RESIZE, str(picture)), ("workers",)):
        assert_refused(command.run(*args), code, words)
    assert files_in(database.parent) == before


def test_a_folder_that_is_gone(program: Program, command: InProcess, picture: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gone/media.db"
    assert_refused(program.run("run", DATABASE_URL=url), 69, "gone")
    assert_refused(command.run(*RESIZE, str(picture), DATABASE_URL=url), 69, "check that the folder")
    assert not (tmp_path / "gone").exists()
    assert files_in(program.server_dir) == {}


def test_a_full_disk(program: Program, command: InProcess, tmp_path: Path) -> None:
    """The files go to another disk, so that it is the database which cannot take the job."""
    disk = tmp_path / "disk"
    small = photo(tmp_path / "small.jpg", (8, 8))
    with disks.small_disk(disk):
        program.server_dir = disk
        command.ok("jobs")
        filling = disks.fill(disk)
        before = files_in(disk)
        assert_refused(command.run("once"), 69, "its disk is full")
        submitted = command.run(*RESIZE, str(small), COMPUTE_STORAGE_DIR=str(tmp_path / "compute"))
        assert_refused(submitted, 69, "its disk is full")
        assert files_in(tmp_path / "compute") == {}
        assert files_in(disk) == before
        filling.unlink()
        command.ok(*RESIZE, str(small))


def test_a_read_only_database(program: Program, database: Path, picture: Path) -> None:
    """It can be listed; a job is not queued in it, and leaves no files."""
    program.ok("jobs")
    database.chmod(0o444)
    user = program.without_root_powers()
    before = files_in(database.parent)
    for args in (("run",), (*RESIZE, str(picture))):
        assert_refused(user.run(*args), 69, "is read-only for this user")
    assert user.ok("jobs", "-f", "json").json == []
    assert files_in(database.parent) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")
def test_a_file_system_that_is_read_only(program: Program, command: InProcess, picture: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disks.breakable_disk(disk, tmp_path / "image"):
        program.server_dir = disk
        command.ok("jobs")
        disks.break_disk(disk)
        before = files_in(disk)
        assert_refused(program.run("run"), 69, "Read-only file system")
        submitted = command.run(*RESIZE, str(picture), COMPUTE_STORAGE_DIR=str(tmp_path / "compute"))
        assert submitted.code == 69 and len(submitted.errors) == 1
        assert files_in(tmp_path / "compute") == {}
        assert files_in(disk) == before


def test_a_network_file_system_is_warned_of_once(program: Program, plugins: PluginFolder) -> None:
    """There is no server here to mount one from, so the program is told of one."""
    (plugins.path / "sitecustomize.py").write_text(ON_A_NETWORK)
    result = program.ok("once")
    (line,) = result.log
    assert (line["level"], line["file_system"]) == ("warning", "nfs4")
    assert "only programs of one machine may use it" in line["event"]
