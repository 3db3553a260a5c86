"""The units under examples/systemd: right to systemd, well confined, and the worker lives with the confinement."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.broker import missing
from tests.support.in_process import InProcess
from tests.support.program import PROGRAM, Program

UNITS = Path(__file__).parents[2] / "examples" / "systemd"
INSTALLED = "/opt/clworker/bin/clworker"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with the program where it is here: systemd wants it to exist."""
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze")
    for path in UNITS.glob("clworker*.*"):
        (tmp_path / path.name).write_text(path.read_text().replace(INSTALLED, PROGRAM))
    return tmp_path


def analyze(*args: str | Path) -> str:
    done = subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout + done.stderr


def test_systemd_has_no_word_against_them(units: Path) -> None:
    files = [*units.glob("*.service"), *units.glob("*.timer")]
    assert len(files) == 3
    assert analyze("verify", "--man=no", *files) == ""
    for service in units.glob("*.service"):
        analyze("security", "--offline=true", "--threshold=25", service)  # of 100, which is no protection at all


def test_the_commands_and_options_in_them_are_the_programs(units: Path, command: InProcess) -> None:
    commands = re.findall(r"^ExecStart=(.*)$", "".join(path.read_text() for path in units.glob("*.service")), re.M)
    assert len(commands) == 2
    for line in commands:
        _, *args = line.replace("%H", "host").split()
        assert command.ok(*args, "--help").stdout.startswith("Usage: clworker")


def test_a_worker_so_confined_runs_a_job(program: Program, picture: Path) -> None:
    """What systemd would set up, done by hand: no powers, and nothing writable but the data folder."""
    program.server_dir.mkdir(parents=True)
    confine = f"""
        mount --make-rprivate / && mount --bind {program.server_dir} {program.server_dir} &&
        mount -t tmpfs none /dev/shm && mount -o remount,bind,ro / && mount -t proc -o hidepid=2 proc /proc &&
        exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
    """
    prefix = ("unshare", "--mount", "sh", "-c", confine, "sh")
    if os.geteuid() != 0 or subprocess.run([*prefix, "true"], capture_output=True, timeout=20).returncode != 0:
        missing("root's right to mount")
    job_id = program.submit("image_resize", picture, "--width", "64", "--height", "48")
    confined = replace(program, prefix=prefix)
    ran = confined.ok("once", "-f", "json").json
    assert (ran["job_id"], ran["status"]) == (job_id, "completed")
