"""One job through the engine: whatever a task does, the report says it in one line."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from clworker.core.tasks.runner import Report, run

Execute = Callable[[Callable[[Any], None]], Any]


class Params(BaseModel):
    """Parameters of a task without any."""


class Task:
    """A task whose body is a function of the progress callback."""

    task_type = "probe"

    def __init__(self, body: Execute) -> None:
        self._body = body

    def get_schema(self) -> type[BaseModel]:
        return Params

    async def execute(self, job: Any, params: Any, progress_callback: Any = None) -> Any:
        result = self._body(progress_callback)
        return await result if asyncio.iscoroutine(result) else result


def report_of(body: Execute, on_progress: Callable[[int], None] = lambda percent: None) -> Report:
    return run(Task(body), "job", "probe", {}, on_progress)


class Unspeakable(Exception):
    """An exception, and a value, whose every text is a failure."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def raising(failure: BaseException) -> Execute:
    def body(_progress: Any) -> None:
        raise failure

    return body


def returning(result: Any) -> Execute:
    return lambda _progress: result


def ok(output: Any) -> Execute:
    return returning({"status": "ok", "task_output": output})


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"inner": value}
    return value


def endless() -> list[Any]:
    value: list[Any] = []
    value.extend([value, value])
    return value


@pytest.mark.parametrize("output", [None, {}, {"a": [1, "ä", None]}, "text", {"t": (1, 2)}, {1: 2}, nested(200)])
def test_output_that_json_can_say_is_kept(output: Any) -> None:
    assert report_of(ok(output)) == Report(output=output)


@pytest.mark.parametrize(
    "output, words",
    [
        (float("nan"), "cannot be written as JSON: ValueError"),
        ({"x": [float("inf")]}, "cannot be written as JSON: ValueError"),
        ({"x": b"bytes"}, "cannot be written as JSON: TypeError: Object of type bytes"),
        ({"x": {1, 2}}, "cannot be written as JSON: TypeError: Object of type set"),
        ({(1, 2): 3}, "cannot be written as JSON: TypeError: keys must be"),
        ({"x": 10**5000}, "cannot be written as JSON: ValueError"),
        (nested(201), "is nested deeper than 200 levels"),
        (nested(100_000), "is nested deeper than 200 levels"),
        (endless(), "is nested deeper than 200 levels"),
        ({"x": "y" * (4 << 20)}, "has 4194313 bytes of JSON; at most 4194304 are kept"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_output_that_cannot_be_kept_is_an_error(output: Any, words: str) -> None:
    report = report_of(ok(output))
    assert report.output is None
    assert (report.error or "").startswith("the task's output ")
    assert words in (report.error or "")


@pytest.mark.parametrize(
    "failure, error",
    [
        (SystemExit(), "the task called sys.exit()"),
        (SystemExit("done"), "the task called sys.exit(done)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "the task cancelled itself"),
        (MemoryError(), "out of memory"),
        (StopIteration(1), "RuntimeError: coroutine raised StopIteration"),
        (GeneratorExit(), "GeneratorExit"),
        (ValueError(), "ValueError"),
        (ValueError("two \n lines and  more"), "ValueError: two lines and  more"),
        (OSError(2, "No such file", "x.jpg"), "FileNotFoundError: [Errno 2] No such file: 'x.jpg'"),
        (RecursionError("deep"), "RecursionError: deep"),
        (Unspeakable(), "Unspeakable: <Unspeakable that cannot be shown>"),
        (SystemExit(Unspeakable()), "the task called sys.exit(<Unspeakable that cannot be shown>)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_exception_is_an_error_in_one_line(failure: BaseException, error: str) -> None:
    assert report_of(raising(failure)) == Report(error=error)


@pytest.mark.parametrize(
    "result, error",
    [
        (None, "the task returned None, not a result"),
        (["status", "ok"], "the task returned ['status', 'ok'], not a result"),
        ({}, "Unknown error"),
        ({"status": "error", "error": ""}, "the task reported an error without saying which"),
        ({"status": "error", "error": None}, "the task reported an error without saying which"),
        ({"status": "error", "error": {"code": 7}}, "{'code': 7}"),
        ({"status": "error", "error": "a\n b"}, "a b"),
        ({"status": "error", "error": "\x1b[2J\x9b\x00\ud800 é"}, r"\x1b[2J\x9b\x00\ud800 é"),
        ({"status": "error", "error": "x\x1b\n" * 2_000_000}, r"x\x1b x\x1b…"),
        ({"status": "error", "error": Unspeakable()}, "<Unspeakable that cannot be shown>"),
        (Unspeakable(), "the task returned <Unspeakable that cannot be shown>, not a result"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
def test_every_other_result_is_an_error_too(result: Any, error: str) -> None:
    said = report_of(returning(result)).error or ""
    assert said == error or (error.endswith("…") and said.startswith(error[:-1]) and len(said) == 2000)


def test_long_error_is_cut() -> None:
    error = report_of(raising(ValueError("x" * 1_000_000))).error or ""
    assert (len(error), error[-1]) == (2000, "…")


def test_task_that_stops_its_loop_is_an_error() -> None:
    async def body() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(60)

    assert report_of(lambda _progress: body()) == Report(error="the task cancelled itself")


def test_leftovers_of_a_task_do_not_change_its_result() -> None:
    cancelled = threading.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise KeyboardInterrupt from None

    async def body() -> dict[str, Any]:
        background.append(asyncio.ensure_future(stubborn()))
        await asyncio.sleep(0)
        return {"status": "ok", "task_output": {"kept": True}}

    background: list[asyncio.Future[None]] = []
    assert report_of(lambda _progress: body()) == Report(output={"kept": True})
    assert cancelled.is_set()


@given(st.lists(st.integers() | st.floats() | st.text() | st.none() | st.just(Unspeakable())))
def test_progress_is_whole_rises_and_stays_from_1_to_99(said: list[Any]) -> None:
    heard: list[int] = []

    def body(progress: Callable[[Any], None]) -> dict[str, Any]:
        for percent in said:
            progress(percent)
        return {"status": "ok", "task_output": None}

    assert report_of(body, heard.append) == Report()
    assert heard == sorted(set(heard))
    assert all(isinstance(percent, int) and 1 <= percent <= 99 for percent in heard)
    numbers = [percent for percent in said if isinstance(percent, (int, float)) and percent == percent]
    assert max(heard, default=0) == max(0, int(min(99, max(numbers, default=0))))
