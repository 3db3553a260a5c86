"""What a doctor wants to know of a PostgreSQL server besides."""

from dataclasses import dataclass

from clworker.core.parsing import is_file_database
from clworker.core.store.checkup import PATIENCE, Checkup
from clworker.core.store.file_checkup import FileCheckup
from clworker.core.store.opening import open_database

_OLDEST = """
SELECT pid, application_name, extract(epoch FROM now() - xact_start)
FROM pg_stat_activity
WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A transaction of somebody who looks at an old state of the database, which has to be kept for it."""

    pid: int
    program: str
    seconds: float


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

    def oldest_snapshot(self) -> Snapshot | None:
        """Return the oldest that can be seen."""
        with self.database.read() as connection:
            row = connection.exec_driver_sql(_OLDEST).first()
        return None if row is None or row[2] is None else Snapshot(row[0], row[1] or "unnamed", float(row[2]))
