"""Which of the discovered tasks a worker runs."""

import logging

import pytest

from clworker.core.errors import TaskUnknown, UsageFault
from clworker.core.tasks.discovery import TaskInfo, TaskState
from clworker.core.tasks.selection import find_ready_task, find_task, select_types


def info(task_type: str, state: TaskState = TaskState.READY, reason: str | None = None) -> TaskInfo:
    return TaskInfo(task_type, state, f"dist-{task_type}", "1", "module:Task", reason)


RESIZE, CONVERT = info("image_resize"), info("image_conversion")
BROKEN, OTHER_BROKEN = info("ocr", TaskState.BROKEN, "no GPU"), info("audio", TaskState.BROKEN, "no ffmpeg")
SHADOWED = info("image_resize", TaskState.SHADOWED, "another comes first")
ALL = [SHADOWED, RESIZE, CONVERT, BROKEN, OTHER_BROKEN]


@pytest.mark.parametrize(
    "requested, chosen, warned",
    [
        ([], ["image_resize", "image_conversion"], {"ocr", "audio"}),
        (["image_conversion"], ["image_conversion"], set()),
        (["ocr", "image_resize"], ["image_resize"], {"ocr"}),
        (["image_resize", "image_resize"], ["image_resize"], set()),
    ],
)
def test_ready_tasks_are_chosen_and_broken_ones_warned_of(
    caplog: pytest.LogCaptureFixture, requested: list[str], chosen: list[str], warned: set[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        assert select_types(ALL, requested) == chosen
    assert {record.__dict__["task_type"] for record in caplog.records} == warned


@pytest.mark.parametrize(
    "tasks, requested, message",
    [
        (ALL, ["ocr"], "no task is ready to run; ocr is broken: no GPU"),
        ([BROKEN, OTHER_BROKEN], [], "no task is ready to run; ocr is broken: no GPU; audio is broken: no ffmpeg"),
        ([], [], "no task is ready to run; install a task plugin"),
    ],
)
def test_no_ready_task_is_a_fault_with_the_reasons(tasks: list[TaskInfo], requested: list[str], message: str) -> None:
    with pytest.raises(UsageFault) as fault:
        select_types(tasks, requested)
    assert str(fault.value) == message


@pytest.mark.parametrize(
    "tasks, task_type, hint",
    [
        (ALL, "image_resise", "did you mean 'image_resize'?"),
        (ALL, "xyz", "installed: audio, image_conversion, image_resize, ocr"),
        ([], "xyz", "installed: none"),
    ],
)
def test_unknown_task_is_told_with_a_hint(tasks: list[TaskInfo], task_type: str, hint: str) -> None:
    with pytest.raises(TaskUnknown) as fault:
        select_types(tasks, [task_type])
    assert str(fault.value) == f"no installed plugin provides the task type {task_type!r}; {hint}"


def test_one_unknown_task_among_ready_ones_is_a_fault_all_the_same() -> None:
    with pytest.raises(TaskUnknown):
        select_types(ALL, ["image_resize", "xyz"])


def test_ready_entry_stands_for_its_task_before_the_shadowed_one() -> None:
    assert find_task(ALL, "image_resize") is RESIZE
    assert find_ready_task(ALL, "image_resize") is RESIZE


def test_task_that_is_not_ready_is_refused_with_its_reason() -> None:
    with pytest.raises(UsageFault, match=r"^the task 'ocr' is installed but broken: no GPU$"):
        find_ready_task(ALL, "ocr")
