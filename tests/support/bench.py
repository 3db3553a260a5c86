"""A workbench for one test: the program, tasks made on the spot, and its queue seen from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder
from tests.support.processes import kill_all
from tests.support.program import Program, Result, Running
from tests.support.waiting import wait_until

# Tasks without files, which tell the test where they are by files named after steps.
_HEADER = """
import ctypes
class Marked(BaseModel):
    marks: str = ""
def mark(params, step, *pids):
    path = Path(params.marks, step)
    Path(f"{path}.new").write_text(" ".join(map(str, pids or [os.getpid()])))
    os.rename(f"{path}.new", path)
"""


@dataclass
class Bench:
    """One program, its plugins and its queue. A task's body may call ``mark(params, step, *pids)``."""

    program: Program
    command: InProcess
    plugins: PluginFolder
    database: Path
    marks: Path
    _marked_pids: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        databases.create(self.database, "current")

    def task(self, task_type: str, body: str, header: str = "") -> None:
        """Install a task that takes no files."""
        self.plugins.install_task(task_type, body, "Marked", f"{_HEADER}\n{dedent(header)}")

    def half_writing_task(self, task_type: str) -> None:
        """Install a task that writes half its output, marks ``on``, and waits for the file ``go`` before the rest."""
        self.plugins.install_task(
            task_type,
            f"""
            marks = Path({str(self.marks)!r})
            Path(params.output_paths[0]).write_text("half")
            (marks / "new").write_text(str(os.getpid()))
            os.rename(marks / "new", marks / "on")
            while not (marks / "go").exists():
                time.sleep(0.01)
            Path(params.output_paths[0]).write_text("whole")
            return {{"status": "ok", "task_output": {{}}}}
            """,
        )

    def queue(self, task_type: str, params: dict[str, Any] | None = None, **columns: Any) -> str:
        """Queue a job as another program would, and return its id."""
        count = databases.rows(self.database, "SELECT count(*) AS count FROM jobs")[0]["count"]
        row = {"job_id": f"{task_type}-{count}", "task_type": task_type, **columns}
        databases.insert(self.database, [{**row, "params": {"marks": str(self.marks), **(params or {})}}])
        return str(row["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job's row."""
        return databases.rows(self.database, "SELECT * FROM jobs WHERE job_id = ?", job_id)[0]

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        """Return the rows of the job's attempts, oldest first."""
        query = "SELECT * FROM clworker_attempts WHERE job_id = ? ORDER BY id"
        return databases.rows(self.database, query, job_id)

    def once(self, *args: str, **changes: str | None) -> Result:
        """Run ``once`` to its end; its supervisor is this process."""
        return self.command.run("once", "-f", "json", *args, **changes)

    @contextmanager
    def running_once(self, *args: str, **changes: str | None) -> Iterator[Running]:
        """Run ``once`` for the time of the block; afterwards kill what has left a mark and still runs."""
        with self.program.start("once", "-f", "json", *args, **changes) as running:
            try:
                yield running
            finally:
                if running.process.poll() is None:
                    running.process.kill()
                kill_all(self._marked_pids)

    def wait_for_mark(self, step: str) -> list[int]:
        """Wait until a task has left this mark and return the pids in it."""
        path = self.marks / step
        wait_until(path.exists, f"the task is at {step!r}")
        pids = [int(pid) for pid in path.read_text().split()]
        self._marked_pids.update(pids)
        return pids

    def locks(self) -> list[Path]:
        """Return the lock files of instances beside the database."""
        return sorted((self.database.parent / "clworker-locks").glob("*.lock"))
