"""Who a worker instance is, and the lock file that proves whether anything of it is left.

An instance holds an exclusive ``flock`` on a file of its own beside the database, and its
child processes inherit it. So a lock that is free means that the whole instance is gone,
which pids cannot tell across containers. What cannot be proven either way is None.

The file also tells a rescuer which jobs had started: whoever starts one marks its token
there. That costs microseconds and no transaction, and outlives every death but the host's.
"""

import fcntl
import os
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clworker.core.errors import StoreUnavailable
from clworker.core.store.filesystem import network_file_system

_FOLDER = "clworker-locks"
_MARK_SIZE = 16
"""Bytes of a mark: a whole token of a claim."""


class Role(StrEnum):
    """What an instance is; only of RUN there may be one for each name."""

    RUN = "run"
    ONCE = "once"
    LIBRARY = "library"


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of one worker: a name, and an identity that no restart under that name shares."""

    instance: str
    worker_id: str
    role: Role
    heartbeat_interval: float
    host: str
    boot_id: str
    pid: int

    @classmethod
    def new(cls, worker_id: str, role: Role, heartbeat_interval: float) -> "Instance":
        """Make the identity of this process; it promises a heartbeat every so many seconds."""
        return cls(
            uuid.uuid4().hex,
            worker_id,
            role,
            heartbeat_interval,
            socket.gethostname(),
            current_boot_id(),
            os.getpid(),
        )


@dataclass(frozen=True, slots=True)
class LockFile:
    """The identity of a lock file; another file at the same path proves nothing."""

    path: str
    device: int
    inode: int


class InstanceLock:
    """The lock that this process and its children hold for as long as any of them lives."""

    def __init__(self, database_path: Path, instance: Instance) -> None:
        """Create and lock the file. Raises StoreUnavailable when the folder is not writable."""
        path = _folder_of(database_path) / f"{instance.instance}.lock"
        try:
            path.parent.mkdir(exist_ok=True)
            self.fd = _opened_and_locked(path)
        except OSError as failure:
            raise StoreUnavailable(f"cannot lock {path}: {failure.strerror or failure}") from failure
        status = os.fstat(self.fd)
        self.file = LockFile(str(path), status.st_dev, status.st_ino)

        self.needed_as_proof = False
        """Whether the file has to stay, for others to see by it that this instance is dead."""

    def has_started(self, token: str) -> bool:
        """Tell whether the job of this claim was the last to start in its slot."""
        return token in _marks(os.pread(self.fd, os.fstat(self.fd).st_size, 0))

    def __enter__(self) -> "InstanceLock":
        return self

    def __exit__(self, *_failure: object) -> None:
        """Let go, once nothing of the instance runs any more."""
        if not self.needed_as_proof:
            remove(self.file)
        os.close(self.fd)


def is_dead(lock: LockFile) -> bool | None:
    """Tell whether nothing of the lock's instance is left; None when that cannot be proven."""
    try:
        fd = os.open(lock.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (lock.device, lock.inode):
            return None
        if network_file_system(os.path.dirname(lock.path)) is not None:
            return None  # a lock that another machine holds may look free from here
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    finally:
        os.close(fd)
    return True


def mark_started(lock_fd: int, place: int, token: str) -> None:
    """Note that the job of this claim starts, in a place that its slot alone writes to."""
    with suppress(OSError):  # a full disk; the job then costs no retry if the worker dies
        os.pwrite(lock_fd, token.encode(), place * _MARK_SIZE)


def started_tokens(lock: LockFile) -> frozenset[str] | None:
    """Return the claims whose jobs were the last to start, one for each slot; None when that is unknown."""
    with suppress(OSError), Path(lock.path).open("rb") as file:
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) == (lock.device, lock.inode):
            return _marks(file.read())
    return None


def _marks(data: bytes) -> frozenset[str]:
    return frozenset(data[at : at + _MARK_SIZE].decode(errors="replace") for at in range(0, len(data), _MARK_SIZE))


def remove(lock: LockFile) -> None:
    """Remove the file of a dead instance, unless its file system takes no changes now."""
    with suppress(OSError):
        os.unlink(lock.path)


def remove_strays(database_path: Path, is_registered: Callable[[str], bool]) -> None:
    """Remove the files of instances that died before they were registered."""
    folder = _folder_of(database_path)
    if network_file_system(str(folder)) is not None:
        return
    for path in folder.glob("*.lock"):
        if is_registered(path.stem):
            continue  # to lock it, however shortly, would make a dead one seem to live
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_registered(path.stem):  # asked only now that nobody can become it
                path.unlink()


def _folder_of(database_path: Path) -> Path:
    return Path(os.path.abspath(database_path)).parent / _FOLDER


def _opened_and_locked(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # held by nobody, but for an instant by who takes it for a stray
            if path.exists() and os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def current_boot_id() -> str:
    """Identify this run of the kernel; after a reboot a lock file proves nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
