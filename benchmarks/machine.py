"""Facts about the machine, without which no figure means anything."""

import os
import platform
import sqlite3
import statistics
import time
from pathlib import Path

_SYNCS = 50


def facts(folder: Path) -> dict[str, str]:
    """Return the facts by their names; ``folder`` is where the databases of the benchmarks are."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load average": load(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "folder": f"{folder} ({_file_system(folder)})",
        "fsync of 4 KiB": f"{_fsync_seconds(folder) * 1000:.2f} ms (median of {_SYNCS})",
    }


def load() -> str:
    """Return the load average over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """Return the type of the file system: the mount point that is the longest beginning of the path."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = folder.resolve()
    fitting = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(fitting)[1] if fitting else "unknown"


def _fsync_seconds(folder: Path) -> float:
    """Return the median time of a write of 4 KiB to the end of a file and its fsync, as a commit does it."""
    path = folder / "fsync"
    samples = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            samples.append(time.perf_counter() - begun)
    path.unlink()
    return statistics.median(samples)
