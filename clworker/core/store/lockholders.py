"""Who holds a lock on the database, as Linux tells it of the processes that can be seen from here."""

import os
from contextlib import suppress
from pathlib import Path

_LOCKS = "/proc/locks"
_WAL_WRITER = range(120, 121)
_WAL_READERS = range(124, 128)
"""The bytes of the ``-shm`` by which readers hold back what a checkpoint may do (SQLite's file format)."""
_WRITERS_BYTE = 0x40000000
_WRITER_WITHOUT_WAL = range(_WRITERS_BYTE, _WRITERS_BYTE + 2)


def writers(database_path: str) -> list[str]:
    """Return the other processes that hold the write lock: ``process 7 (python)``."""
    path = os.path.realpath(database_path)
    return _holders(f"{path}-shm", _WAL_WRITER) or _holders(path, _WRITER_WITHOUT_WAL)


def readers(database_path: str) -> list[str]:
    """Return the other processes that have a transaction open which reads from the log."""
    return _holders(f"{os.path.realpath(database_path)}-shm", _WAL_READERS)


def _holders(path: str, locked: range) -> list[str]:
    try:
        status = os.stat(path)
        lines = Path(_LOCKS).read_text().splitlines()
    except OSError:
        return []
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    pids: set[int] = set()
    for line in lines:  # 1: POSIX  ADVISORY  WRITE 123 fe:01:4711 120 120
        fields = line.split()
        if len(fields) == 8 and fields[1] == "POSIX" and fields[5] == file:
            end = fields[7]
            last = int(end) if end.isdigit() else locked.stop
            if int(fields[6]) < locked.stop and last >= locked.start:
                pids.add(int(fields[4]))
    return [_described(pid) for pid in sorted(pids - {os.getpid()})]


def _described(pid: int) -> str:
    name = ""
    with suppress(OSError):
        # Not the whole command line, which may hold a secret.
        name = f" ({Path('/proc', str(pid), 'comm').read_text(errors='replace').strip()})"
    return f"process {pid}{name}"
