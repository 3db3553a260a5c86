"""Runs one job through the engine, ``cl_ml_tools.worker.Worker.run_once``. Lives inside a slot.

The engine asks a repository for a job and tells it how the job went; ours holds one job and
keeps what it is told.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cl_ml_tools import BaseJobParams, ComputeModule, Job
from cl_ml_tools.worker import Worker

from clworker.core.models.jobs import LARGEST_JSON
from clworker.core.tasks.loop import JobLoop
from clworker.core.tasks.messages import describe_exception, one_line, safe_str, shortened

_DEEPEST = 200
"""Levels that an output may be nested: far from where Python gives up, here and in whoever reads it."""

_log = logging.getLogger("clworker.tasks")
_jobs = JobLoop()


@dataclass(frozen=True, slots=True)
class Report:
    """What the task said of the job: its output, or an error in one line."""

    output: Any = None
    error: str | None = None


def run(task: Any, job_id: str, task_type: str, params: dict[str, Any], on_progress: Callable[[int], None]) -> Report:
    """Run the job to its end, whatever the task does short of killing the process.

    ``on_progress`` gets whole percents from 1 to 99, each higher than the one before.
    """
    repository = _OneJobRepository(Job(job_id=job_id, task_type=task_type, params=params), on_progress)
    worker = Worker(repository, {task_type: _Guarded(task)})
    try:
        _jobs.run(worker.run_once([task_type]))
    except BaseException as failure:  # what a task's leftover coroutines raise while the loop closes
        _log.error("the task left something behind that failed", exc_info=failure)
    return repository.report()


class _Guarded(ComputeModule):
    """A task whose every way of failing comes back as an error result with a message."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self._owner = os.getpid()

    @property
    def task_type(self) -> str:
        return str(self._task.task_type)

    def get_schema(self) -> type[BaseJobParams]:
        schema: type[BaseJobParams] = self._task.get_schema()
        return schema

    async def execute(
        self, job: Job, params: BaseJobParams, progress_callback: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        def on_progress(said: Any) -> None:
            if progress_callback is not None:
                progress_callback(_percent(said))

        try:
            result = await self._task.execute(job, params, on_progress)
        except BaseException as failure:  # SystemExit and CancelledError too are the job's end, not the slot's
            _log.error("the task raised an exception", exc_info=failure)
            return {"status": "error", "error": _words_for(failure)}
        finally:
            if os.getpid() != self._owner:
                os._exit(1)  # a process that the task had forked came back from it: it does not speak for the job
        if not isinstance(result, dict):
            return {"status": "error", "error": f"the task returned {shortened(result)}, not a result"}
        return result


class _OneJobRepository:
    """The engine's repository, holding one job."""

    def __init__(self, job: Job, on_progress: Callable[[int], None]) -> None:
        self._job: Job | None = job
        self._on_progress = on_progress
        self._highest = 0
        self._final: dict[str, Any] | None = None

    def fetch_next_job(self, task_types: list[str]) -> Job | None:
        job, self._job = self._job, None
        return job

    def update_job(self, job_id: str, **kwargs: Any) -> bool:
        if "status" in kwargs:
            self._final = kwargs
        elif "progress" in kwargs:
            percent: int = kwargs["progress"]
            if percent > self._highest:
                self._highest = percent
                self._on_progress(percent)
        return True

    def add_job(self, job: Job, created_by: str | None = None, priority: int | None = None) -> str:
        raise PermissionError("a slot holds one job and cannot queue another")

    def get_job(self, job_id: str) -> Job | None:
        return self._job

    def delete_job(self, job_id: str) -> bool:
        raise PermissionError("a slot cannot delete a job")

    def report(self) -> Report:
        """Return what the engine said last, checked for what can be recorded."""
        if self._final is None:
            return Report(error="the task ended without a result")
        if self._final["status"] != "completed":
            said = self._final.get("error_message")
            return Report(error=one_line(safe_str(said or "")) or "the task reported an error without saying which")
        output = self._final.get("task_output")
        if _is_deeper(output, _DEEPEST):
            return Report(error=f"the task's output is nested deeper than {_DEEPEST} levels")
        try:
            size = len(json.dumps(output, allow_nan=False))
        except (TypeError, ValueError) as failure:
            return Report(error=f"the task's output cannot be written as JSON: {describe_exception(failure)}")
        if size > LARGEST_JSON:
            return Report(error=f"the task's output has {size} bytes of JSON; at most {LARGEST_JSON} are kept")
        return Report(output=output)


def _percent(said: Any) -> int:
    """Return what a task says of its progress as 0 to 99; what is no number is no progress."""
    try:
        return int(max(0, min(99, said))) if said == said else 0
    except Exception:  # the value is the plugin's, and so are its comparisons
        return 0


def _is_deeper(value: Any, deepest: int) -> bool:
    level = [value]
    for _ in range(deepest + 1):
        # By identity: what is shared counts once, and what holds itself comes to an end.
        containers = {id(outer): outer for outer in level if isinstance(outer, (dict, list, tuple))}.values()
        if not containers:
            return False
        level = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return True


def _words_for(failure: BaseException) -> str:
    if isinstance(failure, SystemExit):
        return f"the task called sys.exit({'' if failure.code is None else safe_str(failure.code)})"
    if isinstance(failure, asyncio.CancelledError):
        return "the task cancelled itself"
    return describe_exception(failure)
