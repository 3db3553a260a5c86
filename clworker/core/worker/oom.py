"""Tells whether the kernel's out-of-memory killer has struck in our control group."""

from contextlib import suppress
from pathlib import Path

_FILES = {"memory": "/sys/fs/cgroup/memory{}/memory.oom_control", "": "/sys/fs/cgroup{}/memory.events"}
"""Where each version of control groups counts its victims, by the controller's name in /proc/self/cgroup."""


class OomCounter:
    """Counts the victims of this process's control group, however deep in it they are."""

    def __init__(self, membership: Path = Path("/proc/self/cgroup")) -> None:
        self._file = _counter_of(membership)
        self._seen = self._count()

    def struck(self) -> bool:
        """Tell whether there were victims since the last time that this was asked."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        if self._file is not None:
            with suppress(OSError, ValueError):
                for line in self._file.read_text().splitlines():
                    name, _, count = line.partition(" ")
                    if name == "oom_kill":
                        return int(count)
        return 0


def _counter_of(membership: Path) -> Path | None:
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                if controller in _FILES:
                    file = Path(_FILES[controller].format(path.rstrip("/")))
                    if file.exists():
                        return file
    return None
