"""Every command that looks at jobs or changes them says the same over each kind of database and generation."""

import json
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.in_process import InProcess
from tests.support.postgres import Place

KINDS = ("sqlite-first", "sqlite-current", "postgresql-first", "postgresql-current", "postgresql-jsonb")
NOW = 1_700_000_000_000
PARAMS = {"width": 8, "text": "ü' \"\\ 😀", "list": [1, None, {"a": 1.5}], "input_paths": ["/x/photo.jpg"]}
ROWS = [
    {"job_id": "ab-waits", "params": PARAMS, "created_at": NOW},
    {"job_id": "ab-runs", "status": "processing", "progress": 40, "started_at": NOW + 7, "created_at": NOW + 1},
    {"job_id": "c-failed", "status": "error", "error_message": "it\nbroke %s ?", "completed_at": NOW + 9},
    {
        "job_id": "d-done",
        "task_type": "zoom",
        "status": "completed",
        "progress": 100,
        "output": {"size": [1, 2]},
        "created_at": NOW + 2,
        "started_at": NOW + 3,
        "completed_at": NOW + 13,
        "created_by": "ann",
    },
]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, command: InProcess, database: Path) -> databases.Place:
    """A queue that other programs have filled."""
    kind, generation = request.param.split("-")
    place: databases.Place = database
    if kind == "sqlite":
        databases.create(database, generation)
    else:
        postgresql: Emptied = request.getfixturevalue("postgresql")
        place = postgresql.place(generation, database)
        command.program.environ["DATABASE_URL"] = place.url
    databases.insert(place, ROWS)
    return place


def test_jobs_are_listed_found_explained_and_counted(command: InProcess, place: databases.Place) -> None:
    def ids(*options: str) -> list[str]:
        return [job["job_id"] for job in command.ok("jobs", *options, "-f", "json").json]

    assert ids() == ["c-failed", "d-done", "ab-runs", "ab-waits"]
    assert ids("--status", "processing") == ["ab-runs"]
    assert ids("--status", "error", "--since", "1h") == ["c-failed"]
    assert ids("--task", "zoom", "--limit", "5") == ["d-done"]
    assert ids("--worker", "nobody") == []
    assert command.ok("jobs", "show", "ab-w", "-f", "json").json["params"] == PARAMS
    done = command.ok("jobs", "show", "d", "-f", "json").json
    assert (done["output"], done["created_by"], done["attempts"]) == ({"size": [1, 2]}, "ann", [])
    for prefix in ("ab", "zz", "a\x01", "ü", "'; --"):
        assert len(command.refused(2, "jobs", "show", prefix)) == 1
    assert r"it\nbroke %s ?" in command.ok("jobs").stdout
    assert "waits" in command.ok("jobs", "explain", "ab-waits").stdout
    (resized, zoomed) = command.ok("jobs", "stats", "-f", "json").json
    assert [resized[status] for status in ("queued", "processing", "completed", "error")] == [1, 1, 0, 1]
    assert (zoomed["completed"], zoomed["waiting_p50_ms"], zoomed["running_p99_ms"]) == (1, 1, 10)
    assert command.ok("workers", "-f", "json").json == []


def test_jobs_are_cancelled_retried_exported_and_purged(command: InProcess, place: databases.Place) -> None:
    def status(job_id: str) -> tuple[str, str | None]:
        job = command.ok("jobs", "show", job_id, "-f", "json").json
        return job["status"], job["error_message"]

    command.ok("jobs", "cancel", "ab-w", "ab-r")
    assert status("ab-waits") == status("ab-runs") == ("error", "cancelled")
    command.ok("jobs", "retry", "ab-w", "c")
    assert status("ab-waits") == status("c-failed") == ("queued", None)
    command.refused(2, "jobs", "cancel", "nobody")
    exported = [json.loads(line) for line in command.ok("jobs", "export").stdout.splitlines()]
    assert [job["job_id"] for job in exported] == [row["job_id"] for row in ROWS]
    older = ("--older-than", "0s", "--status", "completed", "--status", "error")
    assert command.ok("jobs", "purge", *older, "--dry-run", "-f", "json").json["rows"] == 2
    assert command.ok("jobs", "purge", *older, "-f", "json").json["rows"] == 2
    assert {row["job_id"] for row in databases.rows(place, "SELECT job_id FROM jobs")} == {"ab-waits", "c-failed"}


SPELLINGS = ("postgres", "postgresql", "PostgreSQL", "postgresql+psycopg2", "postgres+asyncpg", "postgresql+psycopg")


def test_every_spelling_of_a_url_means_our_driver_and_no_password_is_told(
    command: InProcess, postgresql: Emptied, database: Path
) -> None:
    place: Place = postgresql.place("current", database)
    databases.insert(place, ROWS)
    where = place.url.partition("@")[2]
    for scheme in SPELLINGS:
        url = f" {scheme}://postgres:s3cret%40%2F%25%3A@{where} "
        listed = command.ok("jobs", "-f", "json", DATABASE_URL=url)
        assert len(listed.json) == len(ROWS)
        assert "s3cret" not in listed.stderr
    told = command.run("doctor", DATABASE_URL=url)
    assert "s3cret" not in told.stdout + told.stderr
    databases.create(database, "current")
    for scheme in ("sqlite+aiosqlite", "SQLite"):
        assert command.ok("jobs", "-f", "json", DATABASE_URL=f"{scheme}:///{database}").json == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://cl:s3cret@127.0.0.1:1/media",
        "postgresql://cl:s3cret%2F@127.0.0.1:1/media?connect_timeout=2",
        "postgresql://127.0.0.1:1/media?user=cl&password=s3cret",
        "postgresql://cl:s3cret@127.0.0.1:99999/media",
        "postgresql://cl:s3cret/x@127.0.0.1/media",
        "postgresql://cl:s3cret#x@127.0.0.1/media",
        "postgresql://cl:s3cret@127.0.0.1",
        "postgresql://cl:s3cret@127.0.0.1:1/media?sslmode=s3cret-mode&password=s3cret",
        "mysql://cl:s3cret@127.0.0.1/media",
    ],
)
def test_a_failure_tells_no_password(command: InProcess, url: str) -> None:
    for words in (["jobs"], ["jobs", "explain", "x"], ["workers"]):
        result = command.run(*words, DATABASE_URL=url)
        assert result.code in (1, 2, 69)
        assert "s3cret" not in (result.stdout + result.stderr).replace("s3cret-mode", "")
