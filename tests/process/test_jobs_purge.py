"""``jobs purge``: rows, folders and what it says, and what it must never touch."""

import os
from pathlib import Path
from typing import Any

import pytest

from clworker.core.clock import now_ms
from clworker.core.job_folders import JobFolders
from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.program import Program

DAY = 86_400_000
PURGE = ("jobs", "purge", "--older-than", "30d", "--status", "completed", "-f", "json")


def folder_of(jobs: Path, job_id: str, days: int = 0) -> Path:
    """Make a job's folder with 1000 bytes in it, which last changed so many days ago."""
    path = jobs / job_id / "output" / "out.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 1000)
    then = now_ms() / 1000 - days * 86_400
    for each in (path, path.parent, path.parent.parent):
        os.utime(each, (then, then))
    return jobs / job_id


@pytest.fixture
def jobs(program: Program, made_database: Path) -> Path:
    """The folder of jobs: two old ones, one new, one that waits, all with folders; and two folders of no job."""
    old = {"created_at": now_ms() - 40 * DAY, "started_at": now_ms() - 40 * DAY, "completed_at": now_ms() - 31 * DAY}
    databases.insert(
        made_database,
        [
            {"job_id": "old", "status": "completed", **old},
            {"job_id": "old-error", "status": "error", **old},
            {"job_id": "new", "status": "completed", **old, "completed_at": now_ms() - 29 * DAY},
            {"job_id": "waits", **old},
        ],
    )
    jobs = program.server_dir / "compute/jobs"
    for job_id in ("old", "old-error", "new", "waits"):
        folder_of(jobs, job_id)
    folder_of(jobs, "orphan-old", days=31)
    folder_of(jobs, "orphan-new", days=29)
    return jobs


def names(jobs: Path) -> list[str]:
    return sorted(path.name for path in jobs.iterdir())


def ids(path: Path) -> list[Any]:
    return sorted(row["job_id"] for row in databases.rows(path, "SELECT job_id FROM jobs"))


def test_old_jobs_go_with_their_folders_and_folders_of_no_job(
    command: InProcess, jobs: Path, made_database: Path
) -> None:
    before = names(jobs)
    expected = {"rows": 1, "folders": 2, "orphans": 1, "bytes": 2000}
    assert command.ok(*PURGE, "--dry-run").json == {"dry_run": True, **expected}
    assert (names(jobs), len(ids(made_database))) == (before, 4)

    assert command.ok(*PURGE).json == {"dry_run": False, **expected}
    assert names(jobs) == ["new", "old-error", "orphan-new", "waits"]
    assert ids(made_database) == ["new", "old-error", "waits"]

    said = command.ok("jobs", "purge", "--older-than", "30d", "--status", "error", "--status", "completed").stdout
    assert said == "1 job and 1 folder (1000 bytes) removed\n"
    assert names(jobs) == ["new", "orphan-new", "waits"]


def test_of_one_task_only_its_jobs_go(command: InProcess, jobs: Path) -> None:
    assert command.ok(*PURGE, "--task", "zoom").json["folders"] == 0
    assert command.ok(*PURGE, "--task", "image_resize").json["folders"] == 1
    assert "orphan-old" in names(jobs)


def test_a_young_folder_of_no_job_may_be_a_submission_and_stays(command: InProcess, jobs: Path) -> None:
    folder_of(jobs, "being-submitted")
    command.ok("jobs", "purge", "--older-than", "0s", "--status", "completed")
    assert names(jobs) == ["being-submitted", "old-error", "waits"]


def test_nothing_but_a_real_folder_below_jobs_is_removed(
    command: InProcess, jobs: Path, made_database: Path, tmp_path: Path
) -> None:
    precious = folder_of(tmp_path, "precious", days=99)
    ids_of_others = ["..", ".", "", "../precious", "waits/output", str(precious), "a\0b", "link", "file", "x" * 300]
    ended = {"status": "completed", "created_at": 1, "completed_at": 2}
    databases.insert(made_database, [{"job_id": job_id, **ended} for job_id in ids_of_others])
    (jobs / "link").symlink_to(precious)
    (jobs / "orphan-link").symlink_to(precious)
    (jobs / "file").write_text("no folder")
    (jobs / "old" / "output" / "way-out").symlink_to(precious)
    result = command.ok(*PURGE).json
    assert (result["rows"], result["folders"]) == (11, 2)
    assert (precious / "output/out.jpg").exists() and (jobs / "waits/output/out.jpg").exists()
    assert names(jobs) == ["file", "link", "new", "old-error", "orphan-link", "orphan-new", "waits"]
    assert ids(made_database) == ["new", "old-error", "waits"]


def test_a_folder_of_jobs_that_is_a_link_is_refused_before_anything_is_done(
    command: InProcess, jobs: Path, made_database: Path
) -> None:
    jobs.rename(jobs.with_name("elsewhere"))
    jobs.symlink_to(jobs.with_name("elsewhere"))
    (reason,) = command.refused(1, *PURGE)
    assert str(jobs) in reason and "symbolic link" in reason
    assert len(ids(made_database)) == 4


def test_without_any_folder_the_rows_go(command: InProcess, made_database: Path) -> None:
    databases.insert(made_database, [{"status": "completed", "created_at": 1, "completed_at": 2}])
    assert command.ok(*PURGE).json == {"dry_run": False, "rows": 1, "folders": 0, "orphans": 0, "bytes": 0}


def test_what_cannot_be_removed_is_told_and_tried_again(
    command: InProcess, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # a disk that fails is not to be had on demand
        patch.setattr(JobFolders, "remove", lambda self, job_id: f"{job_id}: Input/output error")
        result = command.run(*PURGE)
    assert (result.code, result.json["rows"], result.json["folders"]) == (1, 1, 0)
    assert [error.partition(": ")[2] for error in result.errors] == [
        "old: Input/output error",
        "orphan-old: Input/output error",
    ]
    assert command.ok(*PURGE).json == {"dry_run": False, "rows": 0, "folders": 2, "orphans": 1, "bytes": 2000}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--status", "completed"], "Missing option '--older-than'"),
        (["--older-than", "30d"], "Missing option '--status'"),
        (["--older-than", "30d", "--status", "queued"], "'queued' is not one of 'completed', 'error'"),
        (["--older-than", "30", "--status", "error"], "'30' is not an age such as 90s"),
    ],
)
def test_wrong_usage_is_refused(command: InProcess, options: list[str], reason: str) -> None:
    (error,) = command.refused(2, "jobs", "purge", *options)
    assert reason in error
