"""The program itself, killed before one of its steps. A program of its own, started by ``crash``."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.program import Program
from tests.support.steps import Steps
from tests.support.waiting import TIMEOUT

_ROOT = Path(__file__).parents[2]


def crash(program: Program, told: Path, kill_at: int | None, *args: str) -> list[str]:
    """Run a command of the program, killed before a step, counted from 1; return the steps by name.

    Without ``kill_at`` the command has to succeed.
    """
    command = [sys.executable, "-m", __name__, str(told), str(kill_at or 0), *args]
    # Files, not pipes: what the killed program has left behind must not hold up the test.
    with told.with_suffix(".log").open("wb") as log:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=program.environment(PYTHONDONTWRITEBYTECODE="1"),  # the interpreter's steps are none of ours
            cwd=_ROOT,
            timeout=TIMEOUT,
        )
    expected = 0 if kill_at is None else -9
    assert done.returncode == expected, f"exit code {done.returncode}:\n{told.with_suffix('.log').read_text()}"
    return told.read_text().splitlines()


def main(told: str, kill_at: str, *args: str) -> None:
    """Become the program."""
    Steps(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), int(kill_at) or None)
    sys.argv = ["clworker", *args]
    from clworker.__main__ import main as run

    run()


if __name__ == "__main__":
    main(*sys.argv[1:])
