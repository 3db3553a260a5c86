"""The benchmarks' own tasks, registered by entry point as an installed plugin's are."""

from pathlib import Path

NOOP = "bench_noop"
SLOW = "bench_slow"

_MODULE = '''
"""A task that does nothing but tell when it was started, and one that then sleeps."""

import time

from cl_ml_tools import ComputeModule
from pydantic import BaseModel


class Params(BaseModel):
    seconds: float = 0


class Noop(ComputeModule):
    task_type = "bench_noop"

    def get_schema(self):
        return Params

    async def execute(self, job, params, progress_callback=None):
        started = time.monotonic_ns()
        if params.seconds:
            time.sleep(params.seconds)
        return {"status": "ok", "task_output": {"started": started}}


class Slow(Noop):
    task_type = "bench_slow"
'''
_ENTRIES = """[cl_ml_tools.tasks]
bench_noop = clworker_bench_tasks:Noop
bench_slow = clworker_bench_tasks:Slow
"""


def install(folder: Path) -> Path:
    """Write a distribution into ``folder``, which belongs on PYTHONPATH, and return the folder."""
    info = folder / "clworker_bench_tasks-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "clworker_bench_tasks.py").write_text(_MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clworker-bench-tasks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRIES)
    return folder
