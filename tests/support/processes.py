"""Processes as Linux shows them: who descends from whom, what they hold open, whether they live."""

import os
import re
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import TIMEOUT, wait_until


def state_of(pid: int) -> str | None:
    """Return a process's state letter (proc(5)), or None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def lives(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return state_of(pid) not in (None, "Z", "X")


def children_of(pid: int) -> list[int]:
    """Return the living children of a process."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.extend(map(int, (thread / "children").read_text().split()))
    return [child for child in found if lives(child)]


def descendants_of(pid: int) -> list[int]:
    """Return the living children of a process, and theirs."""
    return [inner for child in children_of(pid) for inner in (child, *descendants_of(child))]


def command_of(pid: int) -> str:
    """Return a process's command line in one string; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def with_variable(name: str, value: str) -> list[int]:
    """Return the living processes, ours to see, that were started with this environment variable."""
    wanted = f"{name}={value}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end while we look
            if wanted in (folder / "environ").read_bytes().split(b"\0") and lives(int(folder.name)):
                found.append(int(folder.name))
    return found


def open_files_of(pid: int) -> list[str]:
    """Return what a process's file descriptors lead to."""
    links = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(fd.readlink()))
    return links


def network_sockets_of(pid: int) -> list[str]:
    """Return the TCP sockets that a process holds, as ``socket:[inode]``."""
    tcp = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    }
    inodes = (re.fullmatch(r"socket:\[(\d+)\]", link) for link in open_files_of(pid))
    return [match[0] for match in inodes if match is not None and match[1] in tcp]


def wait_until_gone(pids: Iterable[int], timeout: float = TIMEOUT) -> None:
    """Wait until none of these processes runs any more."""
    left = list(pids)
    wait_until(lambda: not any(map(lives, left)), f"the processes {left} are gone", timeout)


def kill_all(pids: Iterable[int]) -> None:
    """Kill what a failed test has left."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def processes_of(server_dir: Path) -> list[int]:
    """Return the living processes that were started with this data folder."""
    variable = f"CL_SERVER_DIR={server_dir}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # of somebody else, or gone
            if variable in (process / "environ").read_bytes().split(b"\0") and lives(int(process.name)):
                found.append(int(process.name))
    return found
