"""The real program as a subprocess, with a data folder and an environment of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.waiting import TIMEOUT

PROGRAM = str(Path(sys.executable).with_name("clworker"))

# Root reads and writes what it must not; without these powers it is a user like others.
WITHOUT_ROOT_POWERS = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


@dataclass
class Result:
    """How one run of the program ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The data on stdout."""
        return json.loads(self.stdout)

    @property
    def errors(self) -> list[str]:
        """The ``Error:`` lines on stderr, without that word."""
        return [line.removeprefix("Error: ") for line in self.stderr.splitlines() if line.startswith("Error: ")]

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log lines on stderr; everything else there must be an ``Error:`` line."""
        return [json.loads(line) for line in self.stderr.splitlines() if not line.startswith("Error: ")]


@dataclass
class Program:
    """Runs ``clworker`` in one environment; keyword arguments override variables (None unsets)."""

    server_dir: Path
    environ: dict[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    cwd: Path | None = None

    def environment(self, **changes: str | None) -> dict[str, str]:
        """Return a whole environment: nothing of the caller's but what Python needs."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
        wanted: dict[str, str | None] = {
            **kept,
            "CL_SERVER_DIR": str(self.server_dir),
            "BROADCAST_TYPE": "noop",
            **self.environ,
            **changes,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def without_root_powers(self) -> "Program":
        """Return the program as a user like others would run it, if we are root."""
        return replace(self, prefix=WITHOUT_ROOT_POWERS if os.geteuid() == 0 else ())

    def run(self, *args: str | Path, **changes: str | None) -> Result:
        """Run a command to its end."""
        done = subprocess.run(
            [*self.prefix, PROGRAM, *map(str, args)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            cwd=self.cwd,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *args: str | Path, **changes: str | None) -> Result:
        """Run a command that has to succeed."""
        result = self.run(*args, **changes)
        assert result.code == 0, f"{args} exited with {result.code}:\n{result.stdout}\n{result.stderr}"
        return result

    def start(self, *args: str | Path, **changes: str | None) -> "Running":
        """Start a command and return while it runs."""
        return Running(
            subprocess.Popen(
                [*self.prefix, PROGRAM, *map(str, args)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
                cwd=self.cwd,
                env=self.environment(**changes),
            )
        )

    def drain(self, **changes: str | None) -> "Drained":
        """Run every queued job in one worker, which pays for its start only once."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-P", Path(__file__).with_name("drain.py")],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            cwd=self.cwd,
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        assert result.code == 0, result.stderr
        return Drained([json.loads(line) for line in done.stdout.splitlines()], result.log)

    def submit(self, *args: str | Path, **changes: str | None) -> str:
        """Submit a job and return its id."""
        return self.ok("jobs", "submit", *args, **changes).stdout.strip()

    def show(self, job_id: str) -> Any:
        """Return ``jobs show`` of one job."""
        return self.ok("jobs", "show", job_id, "-f", "json").json


@dataclass
class Drained:
    """The jobs as they stood after each attempt, in the order of the attempts, and the log."""

    attempts: list[dict[str, Any]]
    log: list[dict[str, Any]]

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job after its last attempt."""
        return [job for job in self.attempts if job["job_id"] == job_id][-1]

    def logged(self, job_id: str, event: str) -> list[dict[str, Any]]:
        """Return the log lines of this event about the job."""
        return [line for line in self.log if line.get("job_id") == job_id and line["event"] == event]


@dataclass
class Running:
    """A program that runs; use it as a context manager, which kills what is left."""

    process: "subprocess.Popen[str]"

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_failure: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself."""
        self.process.send_signal(number)

    def result(self) -> Result:
        """Wait for its end."""
        stdout, stderr = self.process.communicate(timeout=TIMEOUT)
        return Result(self.process.returncode, stdout, stderr)
