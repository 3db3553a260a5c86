"""Ends the processes that this one has started, or has adopted from those that it had started."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def kill_group(leader: int) -> None:
    """Kill a whole process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def kill(pid: int) -> None:
    """Kill a process and the group that it leads; it may have moved to another."""
    kill_group(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def end_all() -> None:
    """Kill until no child is left; orphans of killed ones become children and are next."""
    while children := _children():
        for pid in children:
            kill(pid)
        with suppress(ChildProcessError):
            os.wait4(-1, 0)


def _children() -> list[int]:
    """Return the children of every thread, since a plugin may have started some.

    None on a kernel without these files: the slots die with us there, by PDEATHSIG.
    """
    found: list[int] = []
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread may end while we look
            found.extend(map(int, children.read_text().split()))
    return found
