"""The checks that every kind of database has."""

import fcntl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clworker.core.clock import now_ms
from clworker.core.doctor.check import Check, failed, ok, skipped, warning
from clworker.core.doctor.storage import how_to_mend
from clworker.core.errors import ClworkerError, SchemaMismatch
from clworker.core.store.checkup import Checkup
from clworker.core.store.filesystem import network_file_system
from clworker.core.times import as_age, as_time

_FUTURE_MS = 10_000
_LONG_HELD_MS = 3_600_000


def of_file_system(folder: Path) -> Check:
    """Check that locks hold in the folder of the lock files."""
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


def of_generation(checkup: Checkup) -> Check:
    """Check that the table ``jobs`` is one that we know."""
    try:
        generation, has_own = checkup.generation()
    except SchemaMismatch as failure:
        return failed("generation", str(failure), "correct DATABASE_URL, or install the clworker that fits")
    if generation is None:
        return ok("generation", "there is no table jobs yet; the first program that needs it makes it")
    own = "with clworker's tables" if has_own else "no worker has used it yet"
    return ok("generation", f"the table jobs is of the {generation} generation, {own}")


def of_claim(checkup: Checkup) -> Check:
    """Check that a job can be claimed and given back."""
    try:
        checkup.rehearse()
    except SchemaMismatch:
        return skipped("claim", "the table jobs is not one that clworker knows")
    except ClworkerError as failure:
        return refused("claim", failure, checkup.writers())
    return ok("claim", "a job was claimed and given back, in a transaction that was then undone")


def of_clock(checkup: Checkup) -> Check:
    """Check that no time in the database is ahead of our clock."""
    newest, now = checkup.newest_time(), now_ms()
    if newest is None:
        return ok("clock", "there is nothing in the database to compare the clock with")
    if newest - now > _FUTURE_MS:
        found = f"the newest time in the database, {as_time(newest)}, is {as_age(newest - now)} ahead of this clock"
        return warning("clock", found, "set the clocks of this machine and of those that write the jobs (NTP)")
    return ok("clock", f"no time in the database is ahead of this clock; the newest is {as_age(now - newest)} old")


def of_stale_claims(checkup: Checkup) -> Check:
    """Check that nobody who is gone holds jobs."""
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


def refused(name: str, failure: ClworkerError, writers: Sequence[str]) -> Check:
    """Tell a failure of the store, which says what to do behind its semicolon."""
    found, _, advice = str(failure).partition("; ")
    if writers:
        advice = f"its lock is held by {', '.join(writers)}: see what that does, and end it if it hangs"
    return failed(name, found, advice or "until this is mended no job can be claimed, nor its end be recorded")
