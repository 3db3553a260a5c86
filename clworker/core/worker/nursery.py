"""The nursery: a single-threaded child process that imports the plugins and forks slots.

Started as ``python -m clworker.core.worker.nursery FD PARENT`` before the supervisor has any
thread or connection, so that no slot can inherit one. Only the nursery signals and reaps.
When its channel closes, even because the supervisor was killed, it kills every slot and
every process that a task has left, daemons included, and ends.
"""

import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from clworker.core.frames import BlockingChannel, Decoder, Message
from clworker.core.tasks import process
from clworker.core.tasks.loading import load_all
from clworker.core.worker import descendants, slot

_MAX_FDS = 16


def main() -> None:
    """Load every plugin, then fork, kill and reap slots as the supervisor asks."""
    control = socket.socket(fileno=int(sys.argv[1]))
    channel = BlockingChannel(control)
    process.die_with_parent(int(sys.argv[2]))
    process.leave_stopping_to_the_supervisor()
    config = channel.receive()
    if config is None:
        return
    process.adopt_orphans()
    registry = load_all(channel.send, config["skip"])
    gc.freeze()  # what is loaded stays shared between the slots
    # From here on the closed channel tells, so that nothing a task has started outlives us.
    process.die_with_parent(int(sys.argv[2]), wanted=False)
    roots = slot.SlotConfig(
        [Path(path) for path in config["input_roots"]],
        [Path(path) for path in config["output_roots"]],
        config["lock_fd"],
        config["log_level"],
    )
    try:
        _Nursery(control, registry, roots).serve()
    except BaseException:
        traceback.print_exc()
        os._exit(70)
    # _exit, not return: a thread that a plugin has started would keep us, and the instance's lock.
    os._exit(0)


class _Nursery:
    def __init__(self, control: socket.socket, registry: dict[str, Any], config: slot.SlotConfig) -> None:
        self._control = control
        self._channel = BlockingChannel(control)
        self._registry = registry
        self._config = config
        self._pids: dict[int, int] = {}
        self._decoder = Decoder()
        self._fds: list[int] = []
        self._wakeup, self._wakeup_write = socket.socketpair()

    def serve(self) -> None:
        """Work until the supervisor is gone."""
        self._wakeup.setblocking(False)
        self._wakeup_write.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(self._wakeup, selectors.EVENT_READ)
        try:
            while self._step(selector):
                self._reap()
        finally:
            descendants.end_all()

    def _step(self, selector: selectors.BaseSelector) -> bool:
        ready = {key.fileobj for key, _ in selector.select()}
        if self._wakeup in ready:
            with suppress(BlockingIOError):
                self._wakeup.recv(4096)
        if self._control in ready:
            try:
                data, fds, _flags, _address = socket.recv_fds(self._control, 65_536, _MAX_FDS)
            except ConnectionResetError:
                return False
            if not data:
                return False
            self._fds.extend(fds)
            for message in self._decoder.feed(data):
                self._obey(message)
        return True

    def _obey(self, message: Message) -> None:
        number = message["slot"]
        if message["type"] == "spawn":
            jobs, output = self._fds.pop(0), self._fds.pop(0)
            pid = self._fork(number, jobs, output)
            self._pids[pid] = number
            os.close(jobs)
            os.close(output)
            self._channel.send({"type": "spawned", "slot": number, "pid": pid})
        elif message["type"] == "kill":
            for pid, known in self._pids.items():
                if known == number:
                    descendants.kill(pid)

    def _fork(self, number: int, jobs: int, output: int) -> int:
        nursery = os.getpid()
        pid = os.fork()
        if pid:
            with suppress(OSError):
                os.setpgid(pid, pid)
            return pid
        try:
            self._become_slot(nursery, number, jobs, output)
        except BaseException:
            traceback.print_exc()
        finally:
            # _exit, not exit: what this process would clean up belongs to the nursery.
            os._exit(70)

    def _become_slot(self, nursery: int, number: int, jobs: int, output: int) -> None:
        os.setpgid(0, 0)
        process.die_with_parent(nursery)
        process.prefer_to_die_of_memory()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._control, self._wakeup, self._wakeup_write):
            inherited.close()
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)
        slot.serve(BlockingChannel(socket.socket(fileno=jobs)), self._registry, self._config, number)
        os._exit(0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._pids.pop(pid, None)
            if number is None:
                continue  # a process that a task had started and left
            descendants.kill_group(pid)
            code = os.waitstatus_to_exitcode(status)
            self._channel.send(
                {
                    "type": "exit",
                    "slot": number,
                    "signal": -code if code < 0 else None,
                    "exit_code": code if code >= 0 else None,
                    "peak_kib": usage.ru_maxrss,
                }
            )


if __name__ == "__main__":
    main()
