"""The database, where it is a PostgreSQL server's."""

from contextlib import closing

from clworker.core.doctor.check import Check, Checks, ok, skipped, warning
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
from clworker.core.store.server_checkup import ServerCheckup
from clworker.core.times import as_age

NAMES = ("connections", "upkeep")
"""Of the checks that only a server has, after those of any database."""

_OLD_SECONDS = 300.0
_FOR_A_WORKER = 3
"""Connections, at most."""
_MANY_DEAD = 50_000
"""Rows; below that autovacuum may take its time, and a claim does not notice."""


def examine(settings: Settings) -> Checks:
    """Check the server as far as a worker depends on it, and the folder of this machine's lock files."""
    yield of_file_system(settings.database_path.parent)
    try:
        checkup = ServerCheckup(settings.database_url)
    except ClworkerError as failure:
        yield refused("database", failure, [])
        return "the database cannot be reached"
    with closing(checkup):
        try:
            version = checkup.version()
        except ClworkerError as failure:
            yield refused("database", failure, [])
            return "the database cannot be reached"
        yield ok("database", f"{checkup.database.label} answers, PostgreSQL {version}")
        yield _of_durability(checkup)
        yield skipped("integrity", "it is the server's own affair")
        yield of_generation(checkup)
        yield of_claim(checkup)
        yield of_clock(checkup)
        yield _of_snapshots(checkup)
        yield of_stale_claims(checkup)
        yield _of_connections(checkup)
        yield _of_upkeep(checkup)
    return None


def _of_durability(checkup: ServerCheckup) -> Check:
    lossy = checkup.lossy_settings()
    if not lossy:
        return ok("wal", "what is committed outlives a crash of the server")
    found = f"{' and '.join(lossy)} is off: a crash of the server can take back outcomes that were told"
    return warning("wal", found, "turn it on, for the server, the database or this user, wherever it is set")


def _of_snapshots(checkup: ServerCheckup) -> Check:
    prepared = checkup.oldest_prepared()
    if prepared is not None and prepared[1] >= _OLD_SECONDS:
        found = f"the prepared transaction {prepared[0]!r} is {_age(prepared[1])} old: claims get slow"
        return warning("snapshots", found, f"COMMIT PREPARED '{prepared[0]}', or ROLLBACK PREPARED it")
    oldest = checkup.oldest_snapshot()
    if oldest is None or oldest.seconds < _OLD_SECONDS:
        return ok("snapshots", "no old transaction keeps dead rows alive")
    who = f"{oldest.program} (pid {oldest.pid} of the server, {oldest.state})"
    found = f"a transaction of {who} is {_age(oldest.seconds)} old: claims get slow"
    return warning("snapshots", found, f"end that program, or SELECT pg_terminate_backend({oldest.pid})")


def _of_connections(checkup: ServerCheckup) -> Check:
    room = checkup.room()
    for limit, whose in ((room.role_limit, "user"), (room.database_limit, "database")):
        if limit is not None and limit < _FOR_A_WORKER:
            found = f"this {whose} may have {limit} connections, and a worker needs up to {_FOR_A_WORKER}"
            return warning("connections", found, f"raise its CONNECTION LIMIT: {_FOR_A_WORKER} for each worker")
    told = f"{room.used} of {room.most} connections are in use"
    if room.most - room.used < _FOR_A_WORKER:
        advice = f"raise the server's max_connections: {_FOR_A_WORKER} for each worker; or use a pooler"
        return warning("connections", f"{told}, and a worker needs up to {_FOR_A_WORKER}", advice)
    return ok("connections", told)


def _of_upkeep(checkup: ServerCheckup) -> Check:
    upkeep = checkup.upkeep()
    if upkeep is None:
        return skipped("upkeep", "there is no table jobs yet")
    if upkeep.missing and checkup.generation()[1]:
        found = f"the table jobs lacks {' and '.join(upkeep.missing)}: claims or counts get slow"
        return warning("upkeep", found, "start a worker as the owner of the table jobs, which makes what is missing")
    if not upkeep.is_vacuumed:
        advice = "turn autovacuum on, or VACUUM the tables jobs and clworker_attempts often"
        return warning("upkeep", "autovacuum is off: dead rows pile up, and claims get slow", advice)
    told = f"{upkeep.dead_rows} dead rows beside {upkeep.live_rows} in the table jobs"
    if upkeep.dead_rows > max(_MANY_DEAD, upkeep.live_rows):
        advice = "VACUUM jobs, clworker_attempts; and see in pg_stat_progress_vacuum whether autovacuum keeps up"
        return warning("upkeep", f"{told}: claims get slow", advice)
    return ok("upkeep", told)


def _age(seconds: float) -> str:
    return as_age(round(seconds * 1000))
