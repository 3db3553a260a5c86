"""Which limit a process breaks first, by real processes."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from clworker.core.models.attempts import Cause
from clworker.core.worker.limits import Exceeded, first_exceeded
from clworker.core.worker.slots import resident_kib

# Holds 100 MiB, in a child of a thread.
FAMILY = """
import subprocess, sys, threading
code = "data = b'x' * (100 << 20); print('ready', flush=True); input()"
threading.Thread(target=lambda: subprocess.run([sys.executable, "-c", code])).start()
"""


@pytest.fixture
def family() -> Iterator[int]:
    """The pid of a small process whose child is big."""
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.stdin.write("\n")


def test_memory_counts_descendants_of_every_thread(family: int) -> None:
    assert 100 * 1024 < resident_kib(family) < 300 * 1024


def test_memory_of_a_process_that_is_gone_is_none() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert resident_kib(process.pid) == 0


@pytest.mark.parametrize(
    "time_limit, memory_limit_mib, cause, message",
    [
        (0.05, None, Cause.TIME_LIMIT, "time limit of 0.05 s exceeded"),
        (0.05, 10_000, Cause.TIME_LIMIT, "time limit of 0.05 s exceeded"),
        (None, 60, Cause.MEMORY_LIMIT, "memory limit of 60 MiB exceeded"),
        (600.0, 60, Cause.MEMORY_LIMIT, "memory limit of 60 MiB exceeded"),
    ],
)
def test_first_limit_to_be_broken_is_told(
    family: int, time_limit: float | None, memory_limit_mib: int | None, cause: Cause, message: str
) -> None:
    found = asyncio.run(asyncio.wait_for(first_exceeded(family, time_limit, memory_limit_mib), 20))
    assert found == Exceeded(cause, message)


def test_without_a_limit_nothing_is_ever_exceeded(family: int) -> None:
    async def watch() -> bool:
        watching = asyncio.create_task(first_exceeded(family, None, None))
        await asyncio.wait({watching}, timeout=0.1)
        watching.cancel()
        return watching.done()

    assert not asyncio.run(watch())
