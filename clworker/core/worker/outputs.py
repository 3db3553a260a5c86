"""Outputs: written into a folder of the attempt beside each target, then renamed into place.

``dir/name.jpg`` is written to ``dir/.clworker-{token}/name.jpg``: the same file system, the
same suffix (Pillow picks the format by it). An output path therefore holds its old content
or the whole new one, never a part.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from clworker.core.errors import PathRefused, StoreUnavailable
from clworker.core.worker.confinement import ATTEMPT_FOLDER, Target, opened_folder, output_target, refuse_folder

_OWN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 100
_DISK_TROUBLE = (errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT)


class Placement:
    """The supervisor's part: renames one attempt's outputs into place, and clears up after it."""

    def __init__(self, params: object, roots: Sequence[Path], token: str, older_tokens: Sequence[str] = ()) -> None:
        self._paths = _output_paths(params)
        self._roots = roots
        self._token = token
        self._staged = False
        self._created: list[str] = []
        self._older_tokens = older_tokens
        self._placed: set[str] = set()

    @property
    def has_files(self) -> bool:
        """Whether the job writes any output."""
        return bool(self._paths)

    def note_staged(self, created: list[str]) -> None:
        """Take the slot's word that the task writes files, and which folders were made for them."""
        self._staged = True
        self._created = created

    def place(self) -> None:
        """Rename every output into place. May be called again after a failed commit.

        Raises PathRefused when an output cannot be placed, and StoreUnavailable when the disk
        that has just taken it in takes no more changes: finished work waits for that to pass.
        """
        if not self._staged:
            return
        for target in self._free_targets():
            if target.path in self._placed:
                continue
            try:
                with opened_folder(target, self._roots) as folder:
                    self._place_one(target, folder)
            except OSError as failure:
                kind = StoreUnavailable if failure.errno in _DISK_TROUBLE else PathRefused
                raise kind(f"output cannot be placed: {target.path}: {failure.strerror}") from failure

    def discard(self) -> None:
        """Remove the folders of this attempt and of those before it; the folders made for them, if empty."""
        for path in self._paths:
            with suppress(PathRefused):
                target = output_target(path, self._roots)
                for token in (self._token, *self._older_tokens):
                    _remove_staging(target, self._roots, token)
        if not self._placed:
            _remove_created(self._created, self._roots)

    def _free_targets(self) -> list[Target]:
        """Return all targets, none of which is a folder: either every output can go or none is touched."""
        targets = [output_target(path, self._roots) for path in self._paths]
        for target in targets:
            refuse_folder(target)
        return targets

    def _place_one(self, target: Target, folder: int) -> None:
        staging = os.open(staging_name(self._token), _OWN_FOLDER, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.stat(target.name, dir_fd=staging, follow_symlinks=False).st_mode):
                raise PathRefused(f"output is no regular file: {target.path}")
            os.rename(target.name, target.name, src_dir_fd=staging, dst_dir_fd=folder)
            self._placed.add(target.path)
        finally:
            os.close(staging)
        _sync_folder(folder)


class Staging:
    """The slot's part: the folders that a task writes into."""

    def __init__(self, targets: Sequence[Target], roots: Sequence[Path], token: str) -> None:
        self._targets = targets
        self._roots = roots
        self._token = token
        self.created: list[str] = []
        """Folders that did not exist before, outermost first."""
        self._fds: dict[str, int] = {}

    def open(self, older_tokens: Iterable[str]) -> dict[str, str]:
        """Make the folders and return where to write instead, by output path.

        Folders of ``older_tokens``, attempts at the same job, are emptied first, so that a
        late rename by their owners fails. Raises PathRefused.
        """
        for target in self._targets:
            if target.folder not in self._fds:
                self._stage(target, older_tokens)
        return {target.path: self._staged_path(target) for target in self._targets}

    def real_folder(self, target: Target) -> str:
        """Return the real path of the folder that stands in for the target's."""
        return os.path.join(target.folder, staging_name(self._token))

    def stands_in(self, target: Target) -> str:
        """Return the folder's path as the task gets it, open through this process.

        It cannot be led elsewhere by whoever may write to the folders above it.
        """
        through_fd = f"/proc/{os.getpid()}/fd/{self._fds[target.folder]}"
        return through_fd if os.path.isdir(through_fd) else self.real_folder(target)

    def sync(self) -> list[str]:
        """Write the outputs through to the disk; return what else lies beside them.

        Raises PathRefused for an output that is missing or no regular file.
        """
        for target in self._targets:
            try:
                with _opened_file(target.name, self._fds[target.folder]) as fd:
                    os.fsync(fd)
            except FileNotFoundError:
                raise PathRefused(f"the task reported success but did not write {target.path}") from None
            except OSError as failure:
                raise PathRefused(f"output is unusable: {target.path}: {_unusable(failure)}") from failure
        for fd in self._fds.values():
            os.fsync(fd)
        expected = {(target.folder, target.name) for target in self._targets}
        return [
            name
            for folder, fd in self._fds.items()
            for name in sorted(os.listdir(fd))
            if (folder, name) not in expected
        ]

    def close(self) -> None:
        """Let go of the folders; they stay for the supervisor."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def discard(self) -> None:
        """Remove the folders, and the empty ones above them that were made for this job."""
        self.close()
        for target in self._targets:
            _remove_staging(target, self._roots, self._token)
        _remove_created(self.created, self._roots)

    def _stage(self, target: Target, older_tokens: Iterable[str]) -> None:
        for tries_left in reversed(range(_TRIES)):
            try:
                with opened_folder(target, self._roots, self.created) as folder:
                    self._make(target, folder, older_tokens)
                return
            except PathRefused as refusal:
                # A job that failed at this moment may have removed the folder that it had made.
                if not tries_left or not isinstance(refusal.__cause__, FileNotFoundError):
                    raise

    def _make(self, target: Target, folder: int, older_tokens: Iterable[str]) -> None:
        try:
            os.mkdir(staging_name(self._token), 0o700, dir_fd=folder)
            own = os.open(staging_name(self._token), _OWN_FOLDER, dir_fd=folder)
            self._fds[target.folder] = own
            for token in older_tokens:
                _retire(token, folder, own)
        except PermissionError:
            raise PathRefused(f"output folder is not writable by this worker: {target.folder}") from None
        except OSError as failure:
            raise PathRefused(f"output folder cannot be used: {target.folder}: {failure.strerror}") from failure

    def _staged_path(self, target: Target) -> str:
        return os.path.join(self.stands_in(target), target.name)


def staging_name(token: str) -> str:
    """Return the name of an attempt's folder beside its outputs."""
    return f"{ATTEMPT_FOLDER}{token}"


def _output_paths(params: object) -> list[str]:
    paths = params.get("output_paths") if isinstance(params, dict) else None
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _retire(token: str, folder: int, successor: int) -> None:
    # Renamed first: its owner, if it still runs, finds nothing to rename into place any more. And
    # renamed into the successor's folder, with which it goes if its removal is cut short here.
    with suppress(FileNotFoundError):
        os.rename(staging_name(token), staging_name(token), src_dir_fd=folder, dst_dir_fd=successor)
        shutil.rmtree(staging_name(token), ignore_errors=True, dir_fd=successor)


def _remove_staging(target: Target, roots: Sequence[Path], token: str) -> None:
    with suppress(PathRefused, OSError), opened_folder(target, roots) as folder:
        _remove_tree(staging_name(token), folder)


def _remove_created(created: Sequence[str], roots: Sequence[Path]) -> None:
    for path in reversed(created):
        with suppress(PathRefused, OSError):
            target = output_target(path, roots)
            with opened_folder(target, roots) as folder:
                os.rmdir(target.name, dir_fd=folder)


def _remove_tree(name: str, folder: int) -> None:
    try:
        shutil.rmtree(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except PermissionError:
        # The task has left folders that not even their owner may change.
        for _path, _folders, _files, fd in os.fwalk(name, dir_fd=folder):
            os.fchmod(fd, 0o700)
        shutil.rmtree(name, dir_fd=folder)


@contextmanager
def _opened_file(name: str, folder: int) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "it is no regular file")
        yield fd
    finally:
        os.close(fd)


def _unusable(failure: OSError) -> str | None:
    return "it is a symbolic link" if failure.errno == errno.ELOOP else failure.strerror


def _sync_folder(folder: int) -> None:
    # An O_PATH descriptor cannot be synced; open the same folder once more.
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
