"""What a doctor wants to know of a PostgreSQL server besides."""

from collections.abc import Sequence
from dataclasses import dataclass

from clworker.core.parsing import is_file_database
from clworker.core.store.checkup import PATIENCE, Checkup
from clworker.core.store.file_checkup import FileCheckup
from clworker.core.store.opening import open_database
from clworker.core.store.schema import missing_indexes

_LOSSY = ("fsync", "full_page_writes", "synchronous_commit")

_OLDEST = """
SELECT pid, application_name, state, extract(epoch FROM now() - xact_start)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
ORDER BY xact_start LIMIT 1
"""
_PREPARED = """
SELECT gid, extract(epoch FROM now() - prepared)
FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 1
"""
_ROOM = """
SELECT current_setting('max_connections')::int
        - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int END,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    CASE WHEN NOT rolsuper THEN nullif(rolconnlimit, -1) END,
    CASE WHEN NOT rolsuper THEN nullif(datconnlimit, -1) END
FROM pg_roles, pg_database
WHERE rolname = session_user AND datname = current_database()
"""
_VACUUMED = """
SELECT current_setting('autovacuum')::bool
        AND NOT coalesce(reloptions::text ~* 'autovacuum_enabled=(false|off|no|0)', false),
    coalesce(n_live_tup, 0), coalesce(n_dead_tup, 0)
FROM pg_class LEFT JOIN pg_stat_all_tables ON relid = pg_class.oid
WHERE pg_class.oid = to_regclass('jobs')
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A transaction of somebody who looks at an old state of the database, which has to be kept for it."""

    pid: int
    program: str
    state: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Room:
    """How many connections the server has for users like ours, how many are in use, and our own limits."""

    most: int
    used: int
    role_limit: int | None
    database_limit: int | None


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How the server looks after the table ``jobs``; ``missing`` are the indexes of ours that it lacks."""

    is_vacuumed: bool
    live_rows: int
    dead_rows: int
    missing: Sequence[str]


def open_checkup(url: str) -> Checkup:
    """Return what looks at a database of either kind. Raises UsageFault when a driver is missing."""
    return FileCheckup(url) if is_file_database(url) else ServerCheckup(url)


class ServerCheckup(Checkup):
    """Looks at one database of a server."""

    def __init__(self, url: str) -> None:
        super().__init__(open_database(url, PATIENCE))

    def version(self) -> str:
        """Return the version of the server."""
        with self.database.read() as connection:
            return str(connection.exec_driver_sql("SHOW server_version").scalar())

    def lossy_settings(self) -> list[str]:
        """Return the settings by which a crash of the server can lose what was committed."""
        with self.database.read() as connection:
            return [name for name in _LOSSY if connection.exec_driver_sql(f"SHOW {name}").scalar() == "off"]

    def oldest_snapshot(self) -> Snapshot | None:
        """Return the oldest that can be seen."""
        with self.database.read() as connection:
            row = connection.exec_driver_sql(_OLDEST).first()
        return None if row is None else Snapshot(row[0], row[1] or "unnamed", row[2] or "?", float(row[3]))

    def oldest_prepared(self) -> tuple[str, float] | None:
        """Return the name and the age in seconds of the oldest transaction that waits for COMMIT PREPARED."""
        with self.database.read() as connection:
            row = connection.exec_driver_sql(_PREPARED).first()
        return None if row is None else (str(row[0]), float(row[1]))

    def room(self) -> Room:
        """Return how many connections there are."""
        with self.database.read() as connection:
            return Room(*connection.exec_driver_sql(_ROOM).one())

    def upkeep(self) -> Upkeep | None:
        """Return how ``jobs`` is looked after; None without that table."""
        with self.database.read() as connection:
            row = connection.exec_driver_sql(_VACUUMED).first()
            if row is None:
                return None
            return Upkeep(row[0], row[1], row[2], missing_indexes(connection))
