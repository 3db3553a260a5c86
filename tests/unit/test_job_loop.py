"""The loop that jobs share: nothing that one of them leaves behind is there for the next."""

import asyncio
import contextvars
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from clworker.core.tasks.loop import JobLoop

Job = Callable[[], Coroutine[Any, Any, None]]
seen: list[str] = []


@pytest.fixture
def loop() -> Iterator[JobLoop]:
    seen.clear()
    made = JobLoop()
    yield made
    made.close()


async def note_loop() -> None:
    seen.append(str(id(asyncio.get_running_loop())))


def test_jobs_that_leave_nothing_share_a_loop(loop: JobLoop) -> None:
    async def clean() -> None:
        await note_loop()
        await asyncio.gather(note_loop(), note_loop())

    for _ in range(3):
        loop.run(clean())
    assert len(set(seen)) == 1


async def leave_task() -> None:
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    leave_task.kept = asyncio.create_task(wait())  # type: ignore[attr-defined]
    await asyncio.sleep(0)


async def leave_timer() -> None:
    asyncio.get_running_loop().call_later(0, seen.append, "late")
    seen.append("cancelled")


async def leave_thread() -> None:
    gate = threading.Event()
    asyncio.get_running_loop().run_in_executor(None, gate.wait, 10)
    gate.set()
    seen.append("cancelled")


async def leave_reader() -> None:
    ours, theirs = socket.socketpair()
    leave_reader.kept = ours, theirs  # type: ignore[attr-defined]
    asyncio.get_running_loop().add_reader(ours, seen.append, "late")
    theirs.send(b"x")
    seen.append("cancelled")


@pytest.mark.parametrize("leave", [leave_task, leave_timer, leave_thread, leave_reader])
def test_what_a_job_leaves_ends_with_it(loop: JobLoop, leave: Job) -> None:
    loop.run(leave())
    before = list(seen)
    assert before[0] == "cancelled"
    loop.run(asyncio.sleep(0.02))
    assert seen == before
    for end in getattr(leave, "kept", ()) if leave is leave_reader else ():
        end.close()


def test_context_variables_of_one_job_are_unknown_to_the_next(loop: JobLoop) -> None:
    variable = contextvars.ContextVar("variable", default="untouched")

    async def use() -> None:
        seen.append(variable.get())
        variable.set("used")

    loop.run(use())
    loop.run(use())
    assert seen == ["untouched", "untouched"]


@pytest.mark.parametrize("failure", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_after_a_failure_the_next_job_gets_a_new_loop(loop: JobLoop, failure: BaseException) -> None:
    async def fail() -> None:
        raise failure

    loop.run(note_loop())
    with pytest.raises(type(failure)):
        loop.run(fail())
    loop.run(note_loop())
    assert len(seen) == 2


def test_a_synchronous_task_may_start_a_loop_of_its_own_afterwards(loop: JobLoop) -> None:
    loop.run(note_loop())
    asyncio.run(note_loop())
    loop.run(note_loop())
    assert seen[0] == seen[2] != seen[1]
