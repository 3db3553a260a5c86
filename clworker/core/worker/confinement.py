"""Keeps a job inside the folders that it may use (invariant 11 of the architecture).

Links are resolved first, then the way is walked again from the allowed folder, component by
component, without following any link. So a link that is swapped in after the check is
refused, and what was opened is what was checked.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clworker.core.errors import InputMissing, PathRefused

_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
ATTEMPT_FOLDER = ".clworker-"
"""How the names of folders begin that attempts write into: none of any job's business."""

_FILE_SERVER_GONE = (errno.ESTALE, errno.ENOTCONN)
_INPUT = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Target:
    """Where one output goes: the path as the job names it, and its real folder and name."""

    path: str
    folder: str
    name: str


def open_input(path: str, roots: Sequence[Path]) -> int:
    """Open one input file for reading.

    Raises PathRefused with the reason for people: InputMissing for one that another host may
    see, since its folders are others or hold other files.
    """
    _check(path, "input")
    real = os.path.realpath(path)
    root = _root_of(real, roots)
    if root is None:
        raise InputMissing(f"input is outside the folders that jobs may read: {path} (see --allow-dir)", path)
    _refuse_attempt_folders(real, path, "input")
    if real == root:
        raise PathRefused(f"input is a folder, but a file is needed: {path}")
    try:
        folder = _walk(root, os.path.dirname(real), create=None)
        try:
            return _open_regular(os.path.basename(real), folder, path)
        finally:
            os.close(folder)
    except FileNotFoundError:
        raise InputMissing(f"input file not found: {path}", path) from None
    except PermissionError:
        raise PathRefused(f"input file is not readable by this worker: {path}") from None
    except OSError as failure:
        reason = f"input file cannot be opened: {path}: {failure.strerror}"
        if failure.errno in _FILE_SERVER_GONE:
            raise InputMissing(reason, path) from failure
        raise PathRefused(reason) from failure


def sees_input(path: str, roots: Sequence[Path]) -> bool:
    """Tell whether an input is there to be opened, or refused for another reason than that it is missing."""
    try:
        os.close(open_input(path, roots))
    except InputMissing:
        return False
    except PathRefused:
        pass
    return True


def output_target(path: str, roots: Sequence[Path]) -> Target:
    """Check where an output would go. Raises PathRefused with the reason for people."""
    _check(path, "output")
    name = os.path.basename(path)
    folder = os.path.realpath(os.path.dirname(path))
    if _root_of(folder, roots) is None:
        raise PathRefused(f"output is outside the folders that jobs may write to: {path} (see --allow-dir)")
    _refuse_attempt_folders(os.path.join(folder, name), path, "output")
    return Target(path, folder, name)


def refuse_folder(target: Target) -> None:
    """Raise PathRefused when there is a folder where the output would go."""
    if os.path.isdir(os.path.join(target.folder, target.name)):
        raise PathRefused(f"output path is a folder: {target.path}")


def _open_regular(name: str, folder: int, path: str) -> int:
    # Looked at before it is opened: to open a pipe or a device can do something to it.
    _refuse_unless_regular(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode, path)
    fd = os.open(name, _INPUT, dir_fd=folder)
    try:
        _refuse_unless_regular(os.fstat(fd).st_mode, path)
    except PathRefused:
        os.close(fd)
        raise
    return fd


def _refuse_unless_regular(mode: int, path: str) -> None:
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise PathRefused(f"input is {kind}, but a file is needed: {path}")


@contextmanager
def opened_folder(target: Target, roots: Sequence[Path], created: list[str] | None = None) -> Iterator[int]:
    """Open an output's folder, for use as ``dir_fd``.

    With ``created``, missing folders are made and appended to it. Raises PathRefused.
    """
    root = _root_of(target.folder, roots)
    if root is None:
        raise PathRefused(f"output is outside the folders that jobs may write to: {target.path}")
    try:
        fd = _walk(root, target.folder, created)
    except PermissionError:
        raise PathRefused(f"output folder is not writable by this worker: {target.folder}") from None
    except OSError as failure:
        raise PathRefused(f"output folder cannot be used: {target.folder}: {failure.strerror}") from failure
    try:
        yield fd
    finally:
        os.close(fd)


def _check(path: str, kind: str) -> None:
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise PathRefused(f"{kind} path holds characters that no file name can have: {path!r}")
    if not os.path.isabs(path):
        raise PathRefused(f"{kind} path is not absolute: {path!r}")
    if os.path.basename(path) in ("", ".", ".."):
        raise PathRefused(f"{kind} path names no file: {path!r}")


def _refuse_attempt_folders(real: str, path: str, kind: str) -> None:
    if any(part.startswith(ATTEMPT_FOLDER) for part in real.split("/")):
        raise PathRefused(f"{kind} path leads into a folder of an attempt at a job: {path}")


def _root_of(real: str, roots: Sequence[Path]) -> str | None:
    for root in roots:
        real_root = os.path.realpath(root)
        if real == real_root or real.startswith(real_root.rstrip("/") + "/"):
            return real_root
    return None


def _walk(root: str, folder: str, create: list[str] | None) -> int:
    """Open ``folder`` below ``root`` without following a link on the way."""
    if create is not None:
        os.makedirs(root, exist_ok=True)
    fd = os.open(root, _FOLDER)
    walked = root
    for part in Path(folder).relative_to(root).parts:
        walked = os.path.join(walked, part)
        try:
            inner = _step(fd, part, walked, create)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _step(fd: int, part: str, walked: str, create: list[str] | None) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=fd)
    except FileNotFoundError:
        if create is None:
            raise
    try:
        os.mkdir(part, dir_fd=fd)
        create.append(walked)
    except FileExistsError:
        pass  # another job made it at the same moment
    return os.open(part, _FOLDER, dir_fd=fd)
