"""Disks of a test's own, which it can fill or break. Where none can be mounted the test is skipped."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_until


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """Have a file system of this size at ``folder`` for the time of the block."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield folder


@contextmanager
def breakable_disk(folder: Path, image: Path) -> Iterator[Path]:
    """Have an ext4 at ``folder`` that ``break_disk`` can turn read-only under open files."""
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with _mounted(folder, "-o", "loop,errors=remount-ro", image):
        yield folder


def break_disk(folder: Path) -> None:
    """Have the kernel treat the disk as one that has failed: read-only until it is mounted anew."""
    subprocess.run(["mount", "-o", "remount,abort", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk to the last byte and return the file that does so."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as failure:
                assert failure.errno == errno.ENOSPC
    return path


@contextmanager
def _mounted(folder: Path, *arguments: str | Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mounting = subprocess.run(["mount", *arguments, folder], capture_output=True, text=True)
    if mounting.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounting.stderr.strip()}")
    try:
        yield
    finally:
        # The processes of a worker that was killed may hold files there for a moment yet.
        wait_until(lambda: subprocess.run(["umount", folder], capture_output=True).returncode == 0, "it is unmounted")
