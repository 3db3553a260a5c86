"""The folders: are they there, may we use them, and is there room."""

import errno
import os
import pwd
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from clworker.core.doctor.check import Check, Checks, State, failed, ok, skipped, warning
from clworker.core.settings import Settings

NAMES = ("data-folder", "compute-folder", "media-folder", "allowed-folders", "free-space")

_MIB = 1 << 20
LITTLE_BYTES, TOO_FEW_BYTES = 512 * _MIB, 16 * _MIB
LITTLE_INODES, TOO_FEW_INODES = 10_000, 100
_PROBE = bytes(4096)


def examine(settings: Settings) -> Checks:
    """Check the folders that the settings name."""
    yield _of_folder("data-folder", "CL_SERVER_DIR", settings.server_dir)
    yield _of_folder("compute-folder", "COMPUTE_STORAGE_DIR", settings.storage_dir)
    yield _of_media(settings.media_dir)
    yield _of_allowed(settings.allow_dirs)
    yield _of_space([settings.server_dir, settings.storage_dir, settings.database_path.parent, *settings.allow_dirs])
    return None


def write_fault(folder: Path) -> OSError | None:
    """Try to write into a folder, by a file that never has a name where the system can do that."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_PROBE)
            file.flush()
    except OSError as fault:
        return fault
    return None


def how_to_mend(fault: OSError, folder: Path) -> str:
    """Say what to do about a folder that cannot be written."""
    match fault.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "its disk is full: make room there"
        case errno.EROFS:
            return "its file system is read-only: see the kernel's log for why, and mount it writable again"
        case errno.EACCES | errno.EPERM:
            return f"give the user {_user()} the right to write there: {_rights(folder)}"
        case errno.ENOENT | errno.ENOTDIR:
            return "make the folder, or mount what belongs there"
    return "see the kernel's log, and whether its disk is failing"


def _of_folder(name: str, variable: str, folder: Path) -> Check:
    if not folder.exists():
        return _of_missing(name, variable, folder)
    fault = write_fault(folder)
    if fault is None:
        return ok(name, f"{folder} can be written")
    return failed(name, f"{variable}: {folder} cannot be written: {fault.strerror}", how_to_mend(fault, folder))


def _of_missing(name: str, variable: str, folder: Path) -> Check:
    above = next(parent for parent in folder.parents if parent.exists())
    fault = write_fault(above)
    if fault is None:
        return ok(name, f"{folder} is not there yet; it is made when it is needed")
    return failed(
        name,
        f"{variable}: {folder} is not there and cannot be made in {above}: {fault.strerror}",
        how_to_mend(fault, above),
    )


def _of_media(folder: Path) -> Check:
    name = "media-folder"
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except FileNotFoundError:
        return ok(name, f"{folder} is not there; no job can have inputs in it")
    except OSError as fault:
        advice = f"give the user {_user()} the right to read there: {_rights(folder)}"
        return failed(name, f"MEDIA_STORAGE_DIR: {folder} cannot be read: {fault.strerror}", advice)
    return ok(name, f"{folder} can be read")


def _of_allowed(folders: Iterable[Path]) -> Check:
    name = "allowed-folders"
    if not folders:
        return skipped(name, "CLWORKER_ALLOW_DIR names none")
    faults = [(folder, fault) for folder in folders if (fault := write_fault(folder))]
    if not faults:
        return ok(name, f"{', '.join(map(str, folders))} can be written")
    told = "; ".join(f"{folder} cannot be written: {fault.strerror}" for folder, fault in faults)
    return warning(name, told, f"jobs can read there at best; if they are to write: {how_to_mend(*faults[0][::-1])}")


def _of_space(folders: Iterable[Path]) -> Check:
    name = "free-space"
    told, worst = [], State.OK
    for folder, status in _file_systems(folders):
        free, inodes = status.f_bavail * status.f_frsize, status.f_favail
        counts_inodes = status.f_files > 0  # not all file systems have a fixed number of them
        told.append(f"{folder}: {_size(free)}" + (f" and {inodes} inodes" if counts_inodes else "") + " free")
        if free < TOO_FEW_BYTES or (counts_inodes and inodes < TOO_FEW_INODES):
            worst = State.FAILED
        elif worst is State.OK and (free < LITTLE_BYTES or (counts_inodes and inodes < LITTLE_INODES)):
            worst = State.WARNING
    found = "; ".join(told)
    advice = "make room: remove old jobs with their folders, or enlarge the disk" if worst is not State.OK else None
    return Check(name, worst, found, advice)


def _file_systems(folders: Iterable[Path]) -> Iterator[tuple[Path, os.statvfs_result]]:
    """Yield each file system once, by the first of the folders on it."""
    seen: set[int] = set()
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield there, os.statvfs(there)


def _size(number: int) -> str:
    return f"{number / (1 << 30):.1f} GiB" if number >= 1 << 30 else f"{number // _MIB} MiB"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _rights(folder: Path) -> str:
    try:
        status = folder.stat()
    except OSError:
        return "it cannot even be looked at"
    return f"it belongs to {status.st_uid}:{status.st_gid} with mode {status.st_mode & 0o7777:04o}"
