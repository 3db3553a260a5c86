"""The supervisor's side of the nursery and its slots."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from clworker.core.errors import ClworkerError, PluginHostFailed
from clworker.core.frames import Decoder, Message, framed
from clworker.core.models.attempts import Death
from clworker.core.settings import Settings
from clworker.core.tasks.discovery import Discovery, PluginHost, TaskState, discover
from clworker.core.tasks.output import OutputTap
from clworker.core.worker.oom import OomCounter
from clworker.core.worker.orders import LARGEST, OrderQueue
from clworker.core.worker.reports import checked

_CHUNK = 1 << 18
_log = structlog.get_logger("clworker.worker")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Slot:
    """One child process that runs one job at a time."""

    def __init__(self, number: int, nursery: "Nursery") -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.number = number
        self.orders = OrderQueue()
        self.output = OutputTap()
        self.pid = 0
        self.busy = False
        """Whether a job was handed to it that has not been answered."""
        self.jobs_done = 0
        self.was_killed = False
        """Whether we have decided to end it, whatever it does."""
        self.on_message: Callable[[Message], None] = _ignore
        self.on_death: Callable[[Death], None] = _ignore
        """Called once, after the last message."""
        self._nursery = nursery
        self._spawned = asyncio.Event()
        self._decoder = Decoder()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._on_readable)
        self._sending: asyncio.Task[None] | None = None
        self._death: Death | None = None

    async def spawn(self) -> None:
        """Have the nursery fork the process and wait until it has."""
        fds = [self._theirs.fileno(), self.orders.read_end, self.output.write_end]
        self._nursery.tell({"type": "spawn", "slot": self.number}, fds)
        self._theirs.close()
        self.output.close_write_end()
        await self._spawned.wait()

    def hand(self, order: bytes) -> bool:
        """Queue an encoded order; False when it has to wait until the slot has nothing to do."""
        if len(order) <= LARGEST:
            return self.orders.put(order)
        if self.busy:
            return False
        self.orders.announce_large()
        self._sending = self._loop.create_task(self._send(framed(order)))
        return True

    def kill(self) -> None:
        """Have the nursery end the slot's whole process group; ``on_death`` tells when it has."""
        self.was_killed = True
        self._end()

    @property
    def has_died(self) -> bool:
        return self._death is not None

    @property
    def is_gone(self) -> bool:
        """Whether it has died, or is about to."""
        return self.has_died or self.was_killed

    def note_spawned(self, pid: int) -> None:
        """Take the nursery's word that the process runs."""
        self.pid = pid
        self._spawned.set()

    def note_death(self, death: Death) -> None:
        """Take the nursery's word that the process has ended."""
        self._spawned.set()
        if self._death is None:
            while self._on_readable():  # what it still had said
                pass
            self._death = death
            self._stop_listening()
            self.on_death(death)

    def note_orphaned(self) -> None:
        """The nursery has died, and with it the process; end what its task had started."""
        if self.pid and not self.has_died:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.note_death(Death())

    def close(self) -> None:
        """Close this side; an idle process then ends by itself."""
        self._stop_listening()
        self._ours.close()
        self.orders.close()
        self.output.close()

    def _on_readable(self) -> bool:
        try:
            data = self._ours.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._stop_listening()
            return False
        try:
            for message in self._decoder.feed(data):
                self.on_message(checked(message))
        except ValueError as failure:
            broken = "the slot is ended: its task has broken the channel"
            _log.warning(broken, reason=str(failure), **self.output.context)
            self._stop_listening()
            self._end()
            return False
        return True

    def _end(self) -> None:
        self._nursery.tell({"type": "kill", "slot": self.number})

    def _stop_listening(self) -> None:
        if self._ours.fileno() >= 0:
            self._loop.remove_reader(self._ours)

    async def _send(self, frame: bytes) -> None:
        with suppress(OSError):  # the slot dies, as is told otherwise
            await self._loop.sock_sendall(self._ours, frame)


class Nursery:
    """The process that forks the slots, as the supervisor sees it."""

    def __init__(self, discovery: Discovery) -> None:
        self.discovery = discovery
        self._host = discovery.host
        self._slots: dict[int, Slot] = {}
        self._spawned = 0
        self._oom = OomCounter()
        self.on_death: Callable[[], None] = _nothing
        """Called whenever a slot has died, for whatever reason, or the nursery itself."""
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, settings: Settings, lock_fd: int) -> "Nursery":
        """Start the process and have it import the plugins.

        The child and all slots inherit ``lock_fd``, so that the instance's lock is held
        while any of them lives. Raises PluginHostFailed.
        """
        config: Message = {
            "lock_fd": lock_fd,
            "log_level": settings.log_level,
            "input_roots": [str(path) for path in settings.input_roots],
            "output_roots": [str(path) for path in settings.output_roots],
        }
        return cls(
            await discover(
                lambda: PluginHost("clworker.core.worker.nursery", [lock_fd]), settings.plugin_timeout, config
            )
        )

    @classmethod
    async def start_again(cls, settings: Settings, lock_fd: int, task_types: Sequence[str]) -> "Nursery":
        """Start the process in place of one that has died.

        Raises PluginHostFailed, also when one of these tasks is not ready any more: its jobs,
        which this worker goes on claiming, would fail.
        """
        nursery = await cls.start(settings, lock_fd)
        tasks = nursery.discovery.tasks
        ready = {task.task_type for task in tasks if task.state is TaskState.READY}
        lost = [task_type for task_type in task_types if task_type not in ready]
        if lost:
            await nursery.close()
            reasons = [f": {task.reason}" for task in tasks if task.task_type in lost and task.reason]
            raise PluginHostFailed(
                f"the plugins were loaded again, and the task {lost[0]!r} is not ready any more{''.join(reasons[:1])}; "
                "see 'clworker list-tasks', and start the worker again"
            )
        return nursery

    async def spawn(self) -> Slot:
        """Fork a slot that is ready for a job."""
        slot = Slot(self._spawned, self)
        self._spawned += 1
        self._slots[slot.number] = slot
        if self.has_died:
            slot.note_death(Death())
        await slot.spawn()
        return slot

    @property
    def has_died(self) -> bool:
        return self._listening.done()

    def tell(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a small order; a nursery that is gone has ended its slots already."""
        with suppress(OSError):
            self._host.channel.send_now(message, fds)

    @staticmethod
    async def stop(starting: "asyncio.Task[Nursery]") -> None:
        """End the nursery that ``start`` has made or is still making."""
        if not starting.done():
            starting.cancel()
        with suppress(asyncio.CancelledError, ClworkerError):
            await (await starting).close()

    async def close(self) -> None:
        """End the nursery, and with it every slot and every process that a task has left."""
        self._listening.cancel()
        await self._host.end()

    async def _listen(self) -> None:
        while (message := await self._host.channel.receive()) is not None:
            slot = self._slots[message["slot"]]
            if message["type"] == "spawned":
                slot.note_spawned(message["pid"])
            elif message["type"] == "exit":
                is_victim = self._oom.struck() and message["signal"] == signal.SIGKILL
                slot.note_death(Death(message["signal"], message["exit_code"], message["peak_kib"], is_victim))
                del self._slots[slot.number]
                self.on_death()
        for slot in self._slots.values():
            slot.note_orphaned()
        self.on_death()


def _nothing() -> None:
    pass


def _ignore(_told: object) -> None:
    pass


def resident_kib(pid: int) -> int:
    """Return the memory in use, in KiB, by a process and all of its descendants."""
    total = 0
    waiting = [pid]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        with suppress(OSError):  # it may end while we look
            total += int((process / "statm").read_text().split()[1]) * _PAGE_KIB
            for thread in (process / "task").iterdir():
                waiting.extend(map(int, (thread / "children").read_text().split()))
    return total
