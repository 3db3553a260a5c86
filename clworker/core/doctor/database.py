"""The database: reachable, sound, fit for many users at once, and not held up by anybody."""

import fcntl
import os
import tempfile
from contextlib import closing
from pathlib import Path

from clworker.core.clock import now_ms
from clworker.core.doctor.check import Check, Checks, failed, ok, skipped, warning
from clworker.core.doctor.storage import how_to_mend
from clworker.core.errors import ClworkerError, SchemaMismatch
from clworker.core.settings import Settings
from clworker.core.store.checkup import Checkup
from clworker.core.store.filesystem import network_file_system
from clworker.core.times import as_age, as_time

NAMES = (
    *("file-system", "database", "wal", "integrity", "generation"),
    *("claim", "clock", "snapshots", "stale-claims"),
)

LARGE_LOG = 64 << 20
"""Bytes; SQLite writes its log back at 4 MB, so that one of this size was held back once."""

_FUTURE_MS = 10_000
_LONG_HELD_MS = 3_600_000
_INTEGRITY_SECONDS = 4.0


def examine(settings: Settings) -> Checks:
    """Check the database, in the order in which one trouble makes the rest pointless."""
    path = settings.database_path
    yield _of_file_system(path.parent)
    if not os.path.lexists(path):
        advice = f"start a worker or submit a job; if there should be one, correct DATABASE_URL: it names {path}"
        yield warning("database", f"there is none yet at {path}; the first program that needs it makes it", advice)
        return "there is no database yet"
    with closing(Checkup(settings.database_url)) as checkup:
        try:
            journal = checkup.journal_mode()
        except ClworkerError as failure:
            yield _failed("database", failure, checkup)
            return "the database cannot be read"
        yield ok("database", f"{path} can be read, {path.stat().st_size / (1 << 20):.1f} MiB")
        yield _of_journal(journal)
        yield _of_integrity(checkup)
        yield _of_generation(checkup)
        yield _of_claim(checkup)
        yield _of_clock(checkup)
        yield _of_snapshots(checkup)
        yield _of_stale_claims(checkup)
    return None


def _of_file_system(folder: Path) -> Check:
    name = "file-system"
    if not folder.exists():
        return skipped(name, f"{folder} is not there yet")
    if (network := network_file_system(str(folder))) is not None:
        advice = "use a local disk: the log (WAL) needs memory that all users share, and locks may not hold"
        return warning(name, f"{folder} is on {network}, which several machines share", advice)
    try:
        holds = _lock_holds(folder)
    except OSError as fault:
        return failed(name, f"no lock can be had in {folder}: {fault.strerror}", how_to_mend(fault, folder))
    if not holds:
        return failed(name, f"a lock in {folder} keeps nobody out", "use another, local file system for the database")
    return ok(name, f"{folder} is on a local file system whose locks hold")


def _lock_holds(folder: Path) -> bool:
    """Tell whether a lock that is held can be seen to be, as a rescuer has to."""
    with tempfile.TemporaryFile(dir=folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with Path(f"/proc/self/fd/{file.fileno()}").open("rb") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _of_journal(mode: str) -> Check:
    if mode == "wal":
        return ok("wal", "the database is in WAL mode")
    advice = "start a worker, which switches it; see that no other program switches it back"
    return warning("wal", f"the journal mode is {mode}, not WAL: readers and writers hold each other up", advice)


def _of_integrity(checkup: Checkup) -> Check:
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


def _of_generation(checkup: Checkup) -> Check:
    try:
        generation, has_own = checkup.generation()
    except SchemaMismatch as failure:
        return failed("generation", str(failure), "correct DATABASE_URL, or install the clworker that fits")
    if generation is None:
        return ok("generation", "there is no table jobs yet; the first program that needs it makes it")
    own = "with clworker's tables" if has_own else "no worker has used it yet"
    return ok("generation", f"the table jobs is of the {generation} generation, {own}")


def _of_claim(checkup: Checkup) -> Check:
    try:
        checkup.rehearse()
    except SchemaMismatch:
        return skipped("claim", "the table jobs is not one that clworker knows")
    except ClworkerError as failure:
        return _failed("claim", failure, checkup)
    return ok("claim", "a job was claimed and given back, in a transaction that was then undone")


def _failed(name: str, failure: ClworkerError, checkup: Checkup) -> Check:
    """Tell a failure of the store, which says what to do behind its semicolon."""
    found, _, advice = str(failure).partition("; ")
    if writers := checkup.writers():
        advice = f"its lock is held by {', '.join(writers)}: see what that does, and end it if it hangs"
    return failed(name, found, advice or "until this is mended no job can be claimed, nor its end be recorded")


def _of_clock(checkup: Checkup) -> Check:
    newest, now = checkup.newest_time(), now_ms()
    if newest is None:
        return ok("clock", "there is nothing in the database to compare the clock with")
    if newest - now > _FUTURE_MS:
        found = f"the newest time in the database, {as_time(newest)}, is {as_age(newest - now)} ahead of this clock"
        return warning("clock", found, "set the clocks of this machine and of those that write the jobs (NTP)")
    return ok("clock", f"no time in the database is ahead of this clock; the newest is {as_age(now - newest)} old")


def _of_snapshots(checkup: Checkup) -> Check:
    log = checkup.log(LARGE_LOG)
    size = f"the write-ahead log has {log.size / (1 << 20):.1f} MiB"
    if log.held_back < LARGE_LOG:
        return ok("snapshots", f"{size}, and no old reader holds it back")
    who = f" by {', '.join(log.readers)}" if log.readers else ""
    found = f"{size}, of which {log.held_back / (1 << 20):.1f} MiB are held back by an old transaction{who}"
    return warning("snapshots", found, "end the program that keeps a read transaction open; everything is slower so")


def _of_stale_claims(checkup: Checkup) -> Check:
    name = "stale-claims"
    dead = [record for record in checkup.live_workers() if record.alive is False]
    if dead:
        told = "; ".join(
            f"{record} is dead, and the jobs it holds ({record.running}) wait for a rescuer" for record in dead
        )
        return warning(name, told, "start any worker on that host, or run 'clworker once' there")
    if foreign := checkup.foreign_claims(_LONG_HELD_MS):
        found = f"jobs held for over an hour by programs that keep no attempts: {foreign}"
        advice = "see 'clworker jobs --status processing'; if their worker is gone: 'clworker jobs retry --force ID'"
        return warning(name, found, advice)
    return ok(name, f"{_workers(checkup)}, and no claim of a dead one is open")


def _workers(checkup: Checkup) -> str:
    live = checkup.live_workers()
    unproven = sum(record.alive is None for record in live)
    told = f"{len(live)} live workers" if len(live) != 1 else "1 live worker"
    return f"{told}, {unproven} of them known by heartbeats alone" if unproven else told
