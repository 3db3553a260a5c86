"""Outputs when the worker is killed, a limit is broken or the disk is full in the middle."""

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.waiting import wait_until

OLD = b"the old content"
HANGS_AT_FIRST = """
output, ready = Path(params.output_paths[0]), Path(os.path.realpath(params.input_paths[0])).with_name("ready")
output.write_bytes(b"half of the new")
if not ready.exists():
    ready.touch()
    time.sleep(600)
output.write_bytes(b"the new content")
return {"status": "ok", "task_output": {}}
"""


@pytest.fixture
def hanging_job(program: Program, plugins: PluginFolder, database: Path) -> Path:
    """A queued job that hangs in its first attempt; the path of its output, which exists."""
    plugins.install_task("hangs", HANGS_AT_FIRST)
    source, output = program.server_dir / "media/in.txt", program.server_dir / "compute/out/out.txt"
    for path in (source, output):
        path.parent.mkdir(parents=True)
        path.write_bytes(OLD)
    params = {"input_paths": [str(source)], "output_paths": [str(output)]}
    databases.create(database, "current")
    databases.insert(database, [{"job_id": "hanging", "task_type": "hangs", "params": params}])
    return output


def all_dead(locks: Path) -> bool:
    """Tell whether no process of any worker instance is left."""
    for path in locks.iterdir():
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def test_after_a_kill_the_next_claimer_cleans_up_and_finishes(
    program: Program, command: InProcess, hanging_job: Path
) -> None:
    with program.start("once") as first:
        wait_until((program.server_dir / "media/ready").exists, "the task hangs")
        first.signal(signal.SIGKILL)
    wait_until(lambda: all_dead(program.server_dir / "clworker-locks"), "the killed worker's slot is gone")
    assert hanging_job.read_bytes() == OLD
    (left,) = hanging_job.parent.glob(".clworker-*")

    once = command.ok("once", "-f", "json").json

    assert (once["job_id"], once["status"]) == ("hanging", "completed")
    assert not left.exists()
    assert [path.name for path in hanging_job.parent.iterdir()] == ["out.txt"]
    assert hanging_job.read_bytes() == b"the new content"
    assert command.ok("jobs", "show", "hanging", "-f", "json").json["retry_count"] == 1


def test_a_stop_leaves_the_old_output_and_nothing_else(program: Program, database: Path, hanging_job: Path) -> None:
    with program.start("once") as running:
        wait_until((program.server_dir / "media/ready").exists, "the task hangs")
        running.signal(signal.SIGTERM)
        running.result()
    assert databases.rows(database, "SELECT status FROM jobs") == [{"status": "queued"}]
    assert [(path.name, path.read_bytes()) for path in hanging_job.parent.iterdir()] == [("out.txt", OLD)]


def test_a_broken_limit_removes_the_folders_that_were_made(
    program: Program, command: InProcess, hanging_job: Path, database: Path
) -> None:
    made = program.server_dir / "compute/made/for/it"
    params = {"input_paths": [str(program.server_dir / "media/in.txt")], "output_paths": [str(made / "out.txt")]}
    databases.execute(database, "UPDATE jobs SET params = ?", json.dumps(params))
    once = command.run("once", "--time-limit", "0.3", "-f", "json")
    assert once.code == 1
    assert once.json["error_message"] == "time limit of 0.3 s exceeded"
    assert [path.name for path in (program.server_dir / "compute").iterdir()] == ["out"]


@pytest.fixture
def small_disk(program: Program) -> Iterator[Path]:
    """A disk of 64 KiB and a few inodes, where the outputs go."""
    folder = program.server_dir / "compute"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=14", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")
def test_a_full_disk_is_an_error_and_keeps_the_old_output(program: Program, database: Path, small_disk: Path) -> None:
    source = photo(program.server_dir / "photo.jpg", (600, 450))
    formats = ("jpg", "png", "webp", "gif", "bmp", "tiff")
    rows = [conversion(name, source, small_disk / f"out.{name}") for name in formats]
    for name in formats:
        (small_disk / f"out.{name}").write_bytes(OLD)
    rows.append(conversion("jpg", source, small_disk / "a/b/c/d/e/f/g/h/i/j/out.jpg", job_id="no inodes"))
    rows.append(conversion("jpg", photo(program.server_dir / "s.jpg", (64, 48)), small_disk / "small.jpg", "small"))
    databases.create(database, "current")
    databases.insert(database, rows)

    drained = program.drain(CLWORKER_ALLOW_DIR=str(program.server_dir))

    for name in formats:
        job = drained.job(name)
        assert (job["status"], job["retry_count"]) == ("error", 0)
        assert "No space left on device" in job["error_message"]
        assert (small_disk / f"out.{name}").read_bytes() == OLD
    message = drained.job("no inodes")["error_message"]
    assert message.startswith(f"output folder cannot be used: {small_disk}/a/")
    assert message.endswith(": No space left on device")
    assert drained.job("small")["status"] == "completed", "there is room again after every failure"
    with Image.open(small_disk / "small.jpg") as small:
        assert small.size == (64, 48)
    expected = {f"out.{name}" for name in formats} | {"small.jpg"}
    assert {path.name for path in small_disk.rglob("*")} == expected


def conversion(name: str, source: Path, output: Path, job_id: str | None = None) -> dict[str, Any]:
    """Return the row of a job that saves a picture in another format."""
    params = {"format": name, "quality": 95, "input_paths": [str(source)], "output_paths": [str(output)]}
    return {"job_id": job_id or name, "task_type": "image_conversion", "params": params}
