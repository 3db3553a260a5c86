"""The folders of jobs, ``jobs/{job_id}`` in the compute storage, and how they are removed.

Only direct children of ``jobs/`` that are real folders are ever touched. All goes through
descriptors: a symbolic link that is put in a folder's place leads nowhere.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clworker.core.errors import PathRefused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a folder holds: bytes of its files, and the last change below it in seconds since 1970."""

    bytes: int
    changed_at: float


class JobFolders:
    """The folder ``jobs`` itself, held open."""

    def __init__(self, fd: int | None, path: Path) -> None:
        self._fd = fd
        self._path = path

    def names(self) -> Iterator[str]:
        """Yield the names of the real folders; hidden ones and ``lost+found`` are no jobs'."""
        if self._fd is None:
            return
        with os.scandir(self._fd) as entries:
            for entry in entries:
                if (
                    entry.is_dir(follow_symlinks=False)
                    and not entry.name.startswith(".")
                    and entry.name != "lost+found"
                ):
                    yield entry.name

    def extent(self, job_id: str) -> Extent | None:
        """Look a job's folder over. None when there is none, and for an id that names none."""
        if self._fd is None or not _is_name(job_id) or not self._is_folder(job_id):
            return None
        size, changed_at = 0, os.stat(job_id, dir_fd=self._fd, follow_symlinks=False).st_mtime
        with suppress(OSError):  # what cannot be read cannot be removed either, which is told then
            for _path, _folders, files, fd in os.fwalk(job_id, dir_fd=self._fd):
                changed_at = max(changed_at, os.fstat(fd).st_mtime)
                for name in files:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    changed_at = max(changed_at, status.st_mtime)
                    size += status.st_size if stat.S_ISREG(status.st_mode) else 0
        return Extent(size, changed_at)

    def remove(self, job_id: str) -> str | None:
        """Remove a job's folder for which there is an extent; return why it could not be, if so."""
        assert self._fd is not None
        try:
            shutil.rmtree(job_id, dir_fd=self._fd)
        except FileNotFoundError:
            return None  # another purge was here
        except OSError as failure:
            return f"{self._path / job_id}: {failure.strerror or failure}"
        return None

    def _is_folder(self, name: str) -> bool:
        try:
            return stat.S_ISDIR(os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode)
        except (OSError, ValueError):
            return False


@contextmanager
def opened(path: Path) -> Iterator[JobFolders]:
    """Open the folder of all jobs for the time of the block; one that is not there holds nothing.

    Raises PathRefused for what is no real folder, and for one that cannot be read.
    """
    try:
        fd = os.open(path, _FOLDER)
    except FileNotFoundError:
        yield JobFolders(None, path)
        return
    except OSError as failure:
        why = "a symbolic link or no folder" if path.is_symlink() or not path.is_dir() else failure.strerror
        raise PathRefused(f"the folder of jobs {path} cannot be purged: {why}") from failure
    try:
        yield JobFolders(fd, path)
    finally:
        os.close(fd)


def _is_name(job_id: object) -> bool:
    """Tell whether an id, which other programs may have chosen, names a direct child."""
    return isinstance(job_id, str) and job_id not in ("", ".", "..") and "/" not in job_id and "\0" not in job_id
