"""A process that forks one child after another; each performs an operation and is killed at one step of it.

Its own process, since forking is safe only where no thread runs and no database is open.
"""

import gc
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.steps import Steps

Operation = Callable[[Path], Iterator[None]]
"""Prepares, yields, and then does what is to be interrupted; it is given a data folder."""


@dataclass(frozen=True)
class Crash:
    """What one child has done: the names of its steps, the last of which it did not take if it was killed."""

    steps: list[str]
    killed: bool


class Crasher:
    """The forking process, as the tests see it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def perform(self, operation: Operation, folder: Path, kill_at: int | None) -> Crash:
        """Perform an operation in a fresh child, and kill that at a step, counted from 1."""
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"operation": operation.__name__, "folder": str(folder), "kill_at": kill_at}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert answer["failure"] is None, answer["failure"]
        return Crash(answer["steps"], answer["killed"])


@contextmanager
def crasher_of(module: str) -> Iterator[Crasher]:
    """Have a process at hand that knows the operations of one module."""
    command = [sys.executable, "-m", __name__, module]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Crasher(process)


def main() -> None:
    """Perform what is asked for on stdin, a line each."""
    operations = importlib.import_module(sys.argv[1])
    with os.fdopen(os.dup(1), "w") as answers:
        gc.freeze()  # what is loaded stays shared with the children
        os.dup2(2, 1)  # what an operation prints is no answer
        for line in sys.stdin:
            request = json.loads(line)
            operation = getattr(operations, request["operation"])
            crash = _in_a_child(operation, Path(request["folder"]), request["kill_at"])
            print(json.dumps(crash), file=answers, flush=True)


def _in_a_child(operation: Operation, folder: Path, kill_at: int | None) -> dict[str, object]:
    (steps_read, steps), (failure_read, failure) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(steps_read)
        os.close(failure_read)
        _be_the_child(operation(folder), steps, failure, kill_at)
    os.close(steps)
    os.close(failure)
    with os.fdopen(steps_read) as told, os.fdopen(failure_read) as failed:
        names, trouble = told.read().splitlines(), failed.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code > 0:
        trouble = trouble or f"the child ended with exit code {code}"
    return {"steps": names, "killed": code < 0, "failure": trouble or None}


def _be_the_child(operation: Iterator[None], steps: int, failure: int, kill_at: int | None) -> None:
    try:
        next(operation)
        counted = Steps(steps, kill_at)
        for _ in operation:
            raise AssertionError("an operation yields once, where its steps begin")
        counted.take("the end")
    except BaseException:
        os.write(failure, traceback.format_exc().encode())
    finally:
        os._exit(0)  # what this process would clean up belongs to its parent


if __name__ == "__main__":
    main()
