"""``clworker run`` as a subprocess, its log readable while it runs."""

import json
import signal
import subprocess
from pathlib import Path
from typing import IO, Any

from tests.support import databases, postgres
from tests.support.processes import children_of
from tests.support.program import PROGRAM, Program, Result
from tests.support.waiting import TIMEOUT, wait_until

LogLine = dict[str, Any]


class Worker:
    """One run of ``clworker run``; use it as a context manager, which kills what is left.

    Its streams go to files: the program never waits for a reader, and tests read while it runs.
    """

    def __init__(self, program: Program, folder: Path, *args: str | Path, **changes: str | None) -> None:
        folder.mkdir(parents=True)
        home = program.server_dir / "media_store.db"
        url = program.environ.get("DATABASE_URL", "")
        self.database = postgres.Place(url, home) if url.startswith("postgresql:") else home
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = _start(program, stdout, stderr, *args, **changes)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_failure: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def pid(self) -> int:
        """The pid of the supervisor."""
        return self.process.pid

    @property
    def nursery(self) -> int:
        """The pid of the process that holds the plugins."""
        (pid,) = children_of(self.pid)
        return pid

    @property
    def log(self) -> list[LogLine]:
        """The log lines until now, but for one that is half written."""
        lines = self._stderr.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and not line.startswith("Error: ")]

    def logged(self, event: str, **fields: Any) -> list[LogLine]:
        """Return the lines of this event that have these fields."""
        return [line for line in self.log if line["event"] == event and fields.items() <= line.items()]

    def wait_for(self, event: str, count: int = 1, **fields: Any) -> list[LogLine]:
        """Wait until the log has so many lines of this event."""

        def found() -> list[LogLine]:
            lines = self.logged(event, **fields)
            if len(lines) >= count:
                return lines
            assert self.process.poll() is None, f"the worker ended before {event!r}:\n{self._stderr.read_text()}"
            return []

        return wait_until(found, f"the worker logs {event!r} {fields or ''}")

    def wait_for_jobs(self, *job_ids: str, status: str = "completed") -> list[dict[str, Any]]:
        """Wait until all these jobs have this status; return their rows in the same order."""
        return wait_for_jobs(self.database, *job_ids, status=status)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor itself."""
        self.process.send_signal(number)

    def result(self) -> Result:
        """Wait for the end."""
        self.process.wait(TIMEOUT)
        return Result(self.process.returncode, self._stdout.read_text(), self._stderr.read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Result:
        """Send a signal and wait for the end."""
        self.send(number)
        return self.result()


class StartWorker:
    """Starts workers of one program; what the fixture ``start_worker`` hands out."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self.started: list[Worker] = []

    def __call__(self, *args: str | Path, **changes: str | None) -> Worker:
        """Start a worker and wait until it takes jobs."""
        worker = self.without_waiting(*args, **changes)
        worker.wait_for("worker started")
        return worker

    def without_waiting(self, *args: str | Path, **changes: str | None) -> Worker:
        """Start a worker and return at once."""
        worker = Worker(self._program, self._folder / str(len(self.started)), *args, **changes)
        self.started.append(worker)
        return worker


def wait_for_jobs(database: databases.Place, *job_ids: str, status: str = "completed") -> list[dict[str, Any]]:
    """Wait until all these jobs have this status; return their rows in the same order."""

    def found() -> list[dict[str, Any]]:
        rows = {row["job_id"]: row for row in databases.rows(database, "SELECT * FROM jobs")}
        named = [rows[job_id] for job_id in job_ids]
        wrong = [row for row in named if row["completed_at"] is not None and row["status"] != status]
        assert not wrong, f"ended otherwise: {wrong}"
        return named if all(row["status"] == status for row in named) else []

    return wait_until(found, f"{', '.join(job_ids)} {'is' if len(job_ids) == 1 else 'are'} {status}")


def _start(
    program: Program, stdout: IO[bytes], stderr: IO[bytes], *args: str | Path, **changes: str | None
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*program.prefix, PROGRAM, "run", *map(str, args)],
        stdout=stdout,
        stderr=stderr,
        stdin=subprocess.DEVNULL,
        cwd=program.cwd,
        env=program.environment(**changes),
        start_new_session=True,  # a signal for its group must not hit the tests
    )
