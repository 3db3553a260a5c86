"""Task plugins as a user would install them: a distribution with entry points on the path."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from tests.support.waiting import wait_until

PUBLISHED_GROUP = "cl_ml_tools.tasks"
NOTE_GROUP = "cl_media_tools.tasks"


class PluginFolder:
    """A folder for PYTHONPATH that holds plugin distributions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def install(
        self,
        distribution: str,
        source: str,
        entries: Mapping[str, str],
        group: str = PUBLISHED_GROUP,
        version: str = "1.0",
    ) -> None:
        """Install a module of the distribution's name; ``entries`` maps entry names to attributes."""
        module = distribution.replace("-", "_")
        (self.path / f"{module}.py").write_text(dedent(source))
        info = self.path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = [f"{name} = {module}:{attribute}" for name, attribute in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))

    def install_task(self, task_type: str, execute: str, schema: str = "BaseJobParams", header: str = "") -> None:
        """Install one task whose ``execute(self, job, params, progress_callback)`` has this body.

        ``schema`` is an expression; ``header`` is module code before the class.
        """
        body = "\n".join(f"        {line}" for line in dedent(execute).strip().splitlines())
        source = "\n".join(
            [
                "import asyncio, os, signal, subprocess, sys, time",
                "from pathlib import Path",
                "from pydantic import BaseModel, Field",
                "from cl_ml_tools import BaseJobParams, ComputeModule",
                dedent(header),
                "class Task(ComputeModule):",
                f"    task_type = {task_type!r}",
                "    def get_schema(self):",
                f"        return {schema}",
                "    async def execute(self, job, params, progress_callback=None):",
                body,
                "",
            ]
        )
        self.install(f"plugin-{task_type}", source, {task_type: "Task"})

    def install_plain(self, task_type: str, execute: str, **fields: str) -> None:
        """Install a task that reads and writes no files; ``fields`` are its parameters, by type."""
        lines = [f"    {name}: {kind}" for name, kind in fields.items()] or ["    pass"]
        header = "\n".join(["class Params(BaseModel):", *lines])
        self.install_task(task_type, execute, "Params", header)

    def install_gated(self, task_type: str, gate: Path) -> None:
        """Install a task that ends once the file ``gate`` is there; its output is its pid. See ``wait_at_gate``."""
        self.install_plain(
            task_type,
            f"""
            Path(f"{gate}.{{os.getpid()}}").touch()
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.01)
            return {{"status": "ok", "task_output": {{"pid": os.getpid()}}}}
            """,
        )


def wait_at_gate(gate: Path, count: int = 1) -> set[int]:
    """Wait until a gated task has begun in so many processes, those that are gone included; return their pids.

    Which is later than the log has it: "job started" is said of a job that was handed to a slot.
    """
    come = wait_until(lambda: list(gate.parent.glob(f"{gate.name}.*"))[count - 1 :], f"{count} are at the gate")
    return {int(path.suffix[1:]) for path in come}
