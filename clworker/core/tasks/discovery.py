"""Discovery: which tasks the installed plugins provide, found without importing one here.

A child process imports the plugins one after another. When it dies or does not get on
within the deadline, the plugin it was at is broken, and a new child goes on without it.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from clworker.core.environment import environment_of_children
from clworker.core.errors import ParamsRefused, PluginHostFailed
from clworker.core.frames import Channel, Message
from clworker.core.models.attempts import signal_name
from clworker.core.tasks.output import OutputTap

_EXIT_TIMEOUT = 2.0
STILL_IMPORTING = "it was still being imported after"
"""How the reason of a plugin begins that a longer deadline might yet have seen ready."""


class TaskState(StrEnum):
    """Whether a discovered entry can run jobs."""

    READY = "ready"
    BROKEN = "broken"
    SHADOWED = "shadowed"


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """One discovered entry point, as ``list-tasks`` shows it."""

    task_type: str
    state: TaskState
    distribution: str
    version: str
    entry_point: str
    reason: str | None = None


class PluginHost:
    """A child process that holds the plugins, and the channel to it.

    Must be started from a thread that stays as long as it: the kernel ties "die with the
    parent" to the thread that starts the child.
    """

    def __init__(self, module: str, pass_fds: Iterable[int] = ()) -> None:
        ours, theirs = socket.socketpair()
        self.output = OutputTap()
        with theirs:
            # -u: what a plugin prints comes at once, and is neither lost nor printed again by a fork.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", module, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                env=environment_of_children(),
                stdout=self.output.write_end,
                stderr=self.output.write_end,
                pass_fds=(theirs.fileno(), *pass_fds),
                process_group=0,  # to be ended as one; and Ctrl-C does not reach it
            )
        self.output.close_write_end()
        self.channel = Channel(ours)

    async def ask(self, request: Message) -> Message:
        """Send one request and return its answer. Raises ParamsRefused and PluginHostFailed."""
        with suppress(OSError):
            await self.channel.send(request)
        answer = await self.channel.receive()
        if answer is None:
            raise PluginHostFailed(f"the process that holds the plugins {await self.end()}")
        if answer["type"] == "refused":
            raise ParamsRefused(answer["reason"])
        return answer

    async def end(self, kill: bool = False) -> str:
        """Close the channel, see the process end, by force if need be, and say how it ended."""
        self.channel.close()
        if kill:
            self._kill_group()
        await _exited(self.process)
        self._kill_group()  # what a plugin has started on import and left
        self.output.close()
        code = self.process.returncode
        return f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Discovery:
    """What was found, and the child that holds the ready plugins."""

    tasks: list[TaskInfo]
    host: PluginHost


async def discover(start_host: Callable[[], PluginHost], timeout: float, config: Message | None = None) -> Discovery:
    """Have children import all plugins, ``timeout`` seconds for each at most.

    ``config`` is handed to each child together with the entries it must leave out.
    Raises PluginHostFailed when a child cannot even start.
    """
    culprits: dict[str, TaskInfo] = {}
    while True:
        host = start_host()
        try:
            await host.channel.send({**(config or {}), "skip": list(culprits)})
            tasks, culprit = await _collect(host, timeout)
        except BaseException:
            await host.end(kill=True)
            raise
        if culprit is None:
            return Discovery(sorted([*tasks, *culprits.values()], key=_listing_order), host)
        key, task = culprit
        culprits[key] = task


async def _collect(host: PluginHost, timeout: float) -> tuple[list[TaskInfo], tuple[str, TaskInfo] | None]:
    """Read reports until all is loaded, or until the child fails at one entry: the culprit."""
    tasks: list[TaskInfo] = []
    entry: Message | None = None
    while True:
        try:
            async with asyncio.timeout(timeout):
                report = await host.channel.receive()
        except TimeoutError:
            await host.end(kill=True)
            return tasks, _culprit(entry, f"{STILL_IMPORTING} {timeout:g} s")
        if report is None:
            return tasks, _culprit(entry, f"while it was imported, the process {await host.end()}")
        if report["type"] == "done":
            return tasks, None
        if report["type"] == "loading":
            entry = report
        elif entry is not None:
            tasks.append(_info(entry, TaskState(report["type"]), report.get("task_type"), report.get("reason")))
            entry = None


def _culprit(entry: Message | None, reason: str) -> tuple[str, TaskInfo]:
    if entry is None:
        raise PluginHostFailed(f"discovery of task plugins failed: {reason}")
    return entry["key"], _info(entry, TaskState.BROKEN, None, reason)


def _info(entry: Message, state: TaskState, task_type: str | None, reason: str | None) -> TaskInfo:
    # A plugin that is broken cannot say its type; its entry's name is the best guess.
    return TaskInfo(task_type or entry["name"], state, entry["distribution"], entry["version"], entry["value"], reason)


def _listing_order(task: TaskInfo) -> tuple[str, int, str, str]:
    return (task.task_type, list(TaskState).index(task.state), task.distribution, task.entry_point)


async def _exited(process: subprocess.Popen[bytes]) -> None:
    try:
        await asyncio.to_thread(process.wait, _EXIT_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
