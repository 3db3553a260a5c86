"""Which of the discovered tasks a worker runs."""

import logging
from collections.abc import Sequence

from clworker.core.errors import TaskUnknown, UsageFault
from clworker.core.suggestions import did_you_mean
from clworker.core.tasks.discovery import TaskInfo, TaskState

_log = logging.getLogger("clworker.tasks")


def select_types(tasks: Sequence[TaskInfo], requested: Sequence[str]) -> list[str]:
    """Return the task types to claim: the requested ones that are ready, or all that are.

    A requested task that is broken is a warning as long as another one is ready. Raises
    TaskUnknown for a task type that nothing provides, UsageFault when none is ready.
    """
    ready = [task.task_type for task in tasks if task.state is TaskState.READY]
    for task_type in requested:
        find_task(tasks, task_type)
    chosen = [task_type for task_type in ready if task_type in requested or not requested]
    broken = [
        task for task in tasks if task.state is TaskState.BROKEN and (task.task_type in requested or not requested)
    ]
    if not chosen:
        reasons = "".join(f"; {task.task_type} is broken: {task.reason}" for task in broken)
        raise UsageFault(f"no task is ready to run{reasons or '; install a task plugin'}")
    for task in broken:
        _log.warning("task is broken", extra={"task_type": task.task_type, "reason": task.reason})
    return chosen


def find_task(tasks: Sequence[TaskInfo], task_type: str) -> TaskInfo:
    """Return the entry that stands for this task type: the ready one, else a broken one.

    Raises TaskUnknown, which names the nearest types there are.
    """
    named = [task for task in tasks if task.task_type == task_type]
    if named:
        return min(named, key=lambda task: list(TaskState).index(task.state))
    known = sorted({task.task_type for task in tasks})
    hint = did_you_mean(task_type, known) or f"installed: {', '.join(known) or 'none'}"
    raise TaskUnknown(f"no installed plugin provides the task type {task_type!r}; {hint}")


def find_ready_task(tasks: Sequence[TaskInfo], task_type: str) -> TaskInfo:
    """Return the task that can run. Raises TaskUnknown, or UsageFault with why it is broken."""
    task = find_task(tasks, task_type)
    if task.state is not TaskState.READY:
        raise UsageFault(f"the task {task_type!r} is installed but {task.state}: {task.reason}")
    return task
