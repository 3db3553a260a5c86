"""SQLite's failures in words: what is wrong, which database, what to do."""

import os
import sqlite3

from clworker.core.errors import DatabaseLost, DatabaseTrouble, StoreUnavailable

LOG_REMOVED = (
    "its -wal or -shm was removed while programs use it; end them all, and the last one to close it puts it right"
)

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY = 0xFF
"""The part of an extended result code that says what kind of failure it is."""


def in_words(failure: BaseException | None, label: str, path: str) -> DatabaseTrouble:
    """Return our failure for one of SQLite's: StoreUnavailable, or DatabaseLost for damage."""
    code = getattr(failure, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & _PRIMARY in _DAMAGE:
        return DatabaseLost(
            f"database {label}: {failure}: the file is damaged or is no SQLite database; "
            "restore it from a backup, or save what can be read with 'sqlite3 FILE .recover'"
        )
    return StoreUnavailable(f"database {label}: {_advice(code, str(failure), path)}")


def _advice(code: int, reason: str, path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return LOG_REMOVED
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room even for the -shm
        code = sqlite3.SQLITE_FULL
    match code & _PRIMARY:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "locked by another program for too long; see which one holds a transaction open"
        case sqlite3.SQLITE_CANTOPEN:
            return f"cannot be opened; check that the folder {folder} exists and is writable by this user"
        case sqlite3.SQLITE_READONLY if _is_mounted_read_only(folder):
            return "its file system is read-only; see the kernel's log for why, and mount it writable again"
        case sqlite3.SQLITE_READONLY:
            return "is read-only for this user; make the file and its folder writable"
        case sqlite3.SQLITE_FULL:
            return "its disk is full"
        case sqlite3.SQLITE_IOERR:
            return f"{reason}; check that its disk is neither failing nor full nor read-only (see the kernel's log)"
    return reason


def _is_mounted_read_only(folder: str) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False
