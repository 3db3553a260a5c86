"""``clworker doctor``, folders and database: each trouble is named, and nothing is changed."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clworker.core.clock import now_ms
from clworker.core.doctor import database as database_checks
from clworker.core.store.store import Store
from tests.support import databases, foreign
from tests.support.diagnosis import diagnosis, states
from tests.support.disks import fill, small_disk
from tests.support.in_process import InProcess
from tests.support.program import Program

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, *statements: str) -> Iterator[int]:
    """Have another process execute statements, and hold what they lock; yields its pid."""
    command = [sys.executable, "-c", HOLD, str(path), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_database_that_another_process_has_locked(command: InProcess, database: Path) -> None:
    databases.create(database, "current")
    with held(database, "BEGIN IMMEDIATE") as pid:
        checks = diagnosis(command, 1)
    assert states(checks, "database", "integrity", "claim", "clock") == ["ok", "ok", "failed", "ok"]
    assert checks["claim"]["found"].endswith("locked by another program for too long")
    assert checks["claim"]["advice"].startswith(f"its lock is held by process {pid} (python")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_bytes(b"garbage " * 100), {"database": "file is not a database"}),
        (lambda path: overwrite(path, 4096, bytes(range(256)) * 64), {"integrity": "the database is damaged: "}),
    ],
    ids=["no-database", "damaged-pages"],
)
def test_a_damaged_database(command: InProcess, database: Path, damage: object, expected: dict[str, str]) -> None:
    databases.create(database, "current")
    databases.insert(database, [{"job_id": f"{number}", "params": {"x": "y" * 500}} for number in range(100)])
    assert callable(damage)
    damage(database)
    before = fingerprint(database)
    checks = diagnosis(command, 1)
    for name, found in expected.items():
        assert checks[name]["state"] == "failed"
        assert found in checks[name]["found"]
        assert "restore it from a backup" in checks[name]["advice"]
    assert fingerprint(database) == before


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_folder_that_this_user_cannot_write(program: Program, database: Path) -> None:
    databases.create(database, "current")
    program.server_dir.chmod(0o555)
    checks = diagnosis(program.without_root_powers(), 1)
    assert states(checks, "data-folder", "compute-folder", "file-system", "database") == ["failed"] * 4
    assert f"{program.server_dir} cannot be written: Permission denied" in checks["data-folder"]["found"]
    assert "mode 0555" in checks["data-folder"]["advice"]


def test_a_full_disk(command: InProcess, program: Program, database: Path) -> None:
    with small_disk(program.server_dir) as folder:
        databases.create(database, "current")
        fill(folder)
        checks = diagnosis(command, 1)
    assert states(checks, "data-folder", "free-space", "database") == ["failed"] * 3
    assert checks["data-folder"]["advice"] == "its disk is full: make room there"
    assert "0 MiB" in checks["free-space"]["found"]
    assert checks["database"]["found"].endswith("its disk is full")


def test_a_database_of_another_program(command: InProcess, database: Path) -> None:
    databases.execute(database, "CREATE TABLE jobs (id INTEGER PRIMARY KEY, what TEXT)")
    before = fingerprint(database)
    checks = diagnosis(command, 1)
    assert states(checks, "wal", "generation", "claim") == ["warning", "failed", "skipped"]
    assert checks["wal"]["found"].startswith("the journal mode is delete, not WAL")
    assert "of neither generation" in checks["generation"]["found"]
    assert fingerprint(database) == before, "nor is it switched to WAL"


def test_clock_and_claims_of_other_programs(command: InProcess, store: Store, database: Path) -> None:
    hours = 3_600_000
    databases.insert(database, [{"job_id": "later", "created_at": now_ms() + 3 * hours}, {"job_id": "held"}])
    foreign.claim(database, "held", now_ms() - 2 * hours)
    checks = diagnosis(command, 0)
    assert states(checks, "clock", "stale-claims") == ["warning", "warning"]
    assert " is 2h ahead of this clock" in checks["clock"]["found"] or " is 3h ahead" in checks["clock"]["found"]
    assert checks["stale-claims"]["found"].endswith("programs that keep no attempts: 1")


def test_an_old_transaction_that_holds_the_log_back(
    command: InProcess, store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_checks, "LARGE_LOG", 1 << 20)  # the real 64 MiB would cost every run
    with held(database, "BEGIN", "SELECT count(*) FROM jobs") as pid:
        databases.insert(database, [{"job_id": str(number), "params": {"x": "y" * 20_000}} for number in range(100)])
        checks = diagnosis(command, 0)
        assert checks["snapshots"]["state"] == "warning"
        assert f"held back by an old transaction by process {pid} (python" in checks["snapshots"]["found"]
    assert states(diagnosis(command, 0), "snapshots") == ["ok"], "it is large, and nobody holds it back"


def test_a_look_over_the_database_ends_in_time(
    command: InProcess, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases.create(database, "current")
    databases.insert(database, [{"job_id": str(number)} for number in range(3000)])
    monkeypatch.setattr(database_checks, "_INTEGRITY_SECONDS", 0.0)
    checks = diagnosis(command, 0)
    assert states(checks, "integrity", "claim") == ["skipped", "ok"]
