"""The database: reachable, sound, fit for many users at once, and not held up by anybody."""

import os
from contextlib import closing

from clworker.core.doctor import server
from clworker.core.doctor.check import Check, Checks, failed, ok, skipped, warning
from clworker.core.doctor.database_checks import (
    of_claim,
    of_clock,
    of_file_system,
    of_generation,
    of_stale_claims,
    refused,
)
from clworker.core.errors import ClworkerError
from clworker.core.settings import Settings
from clworker.core.store.file_checkup import FileCheckup

NAMES = (
    *("file-system", "database", "wal", "integrity", "generation"),
    *("claim", "clock", "snapshots", "stale-claims"),
)

LARGE_LOG = 64 << 20
"""Bytes; SQLite writes its log back at 4 MB, so that one of this size was held back once."""

_INTEGRITY_SECONDS = 4.0


def names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the checks of this database."""
    return NAMES if settings.database_is_file else (*NAMES, *server.NAMES)


def examine(settings: Settings) -> Checks:
    """Check the database, in the order in which one trouble makes the rest pointless."""
    if not settings.database_is_file:
        return (yield from server.examine(settings))
    path = settings.database_path
    yield of_file_system(path.parent)
    if not os.path.lexists(path):
        advice = f"start a worker or submit a job; if there should be one, correct DATABASE_URL: it names {path}"
        yield warning("database", f"there is none yet at {path}; the first program that needs it makes it", advice)
        return "there is no database yet"
    with closing(FileCheckup(settings.database_url)) as checkup:
        try:
            journal = checkup.journal_mode()
        except ClworkerError as failure:
            yield refused("database", failure, checkup.writers())
            return "the database cannot be read"
        yield ok("database", f"{path} can be read, {path.stat().st_size / (1 << 20):.1f} MiB")
        yield _of_journal(journal)
        yield _of_integrity(checkup)
        yield of_generation(checkup)
        yield of_claim(checkup)
        yield of_clock(checkup)
        yield _of_snapshots(checkup)
        yield of_stale_claims(checkup)
    return None


def _of_journal(mode: str) -> Check:
    if mode == "wal":
        return ok("wal", "the database is in WAL mode")
    advice = "start a worker, which switches it; see that no other program switches it back"
    return warning("wal", f"the journal mode is {mode}, not WAL: readers and writers hold each other up", advice)


def _of_integrity(checkup: FileCheckup) -> Check:
    try:
        damage = checkup.damage(_INTEGRITY_SECONDS)
    except TimeoutError:
        found = f"not looked over: it takes longer than {_INTEGRITY_SECONDS:g} s; try 'PRAGMA quick_check' in sqlite3"
        return skipped("integrity", found)
    except ClworkerError as failure:
        damage = str(failure)
    if damage is None:
        return ok("integrity", "quick_check has found no damage")
    advice = "stop the workers and restore it from a backup, or save what can be read with 'sqlite3 FILE .recover'"
    return failed("integrity", f"the database is damaged: {damage}", advice)


def _of_snapshots(checkup: FileCheckup) -> Check:
    log = checkup.log(LARGE_LOG)
    size = f"the write-ahead log has {log.size / (1 << 20):.1f} MiB"
    if log.held_back < LARGE_LOG:
        return ok("snapshots", f"{size}, and no old reader holds it back")
    who = f" by {', '.join(log.readers)}" if log.readers else ""
    found = f"{size}, of which {log.held_back / (1 << 20):.1f} MiB are held back by an old transaction{who}"
    return warning("snapshots", found, "end the program that keeps a read transaction open; everything is slower so")
