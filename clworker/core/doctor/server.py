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

_OLD_SECONDS = 300.0


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
        yield skipped("wal", "it is the server's own affair")
        yield skipped("integrity", "it is the server's own affair")
        yield of_generation(checkup)
        yield of_claim(checkup)
        yield of_clock(checkup)
        yield _of_snapshots(checkup)
        yield of_stale_claims(checkup)
    return None


def _of_snapshots(checkup: ServerCheckup) -> Check:
    oldest = checkup.oldest_snapshot()
    if oldest is None or oldest.seconds < _OLD_SECONDS:
        return ok("snapshots", "no old transaction keeps dead rows alive")
    age = as_age(round(oldest.seconds * 1000))
    found = f"a transaction of {oldest.program} (pid {oldest.pid} of the server) is {age} old: claims get slow"
    return warning("snapshots", found, f"end that program, or SELECT pg_terminate_backend({oldest.pid})")
