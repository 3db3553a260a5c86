"""The database: everything that reads or writes it goes through a Store."""

from pathlib import Path

from clworker.core.store.care import Care
from clworker.core.store.changes import Changes
from clworker.core.store.database import BUSY_TIMEOUT
from clworker.core.store.doubts import CertainClaims
from clworker.core.store.instances import Instances
from clworker.core.store.jobs import Jobs
from clworker.core.store.opening import open_database
from clworker.core.store.overview import Overviews
from clworker.core.store.purges import Purges
from clworker.core.store.rescues import Rescues
from clworker.core.store.schema import open_schema
from clworker.core.store.statistics import Statistics
from clworker.core.store.transfers import Transfers


class Store:
    """One database with its tables in place."""

    def __init__(self, url: str, busy_timeout: float = BUSY_TIMEOUT, home: Path | None = None) -> None:
        """Connect and create what is missing. ``busy_timeout`` is in seconds.

        Lock files lie beside the database, where it is a file, else beside ``home``. Raises
        StoreUnavailable, DatabaseLost, SchemaMismatch, and UsageFault without a driver.
        """
        self.database = open_database(url, busy_timeout, home)
        try:
            table = open_schema(self.database)
        except BaseException:
            self.database.close()
            raise
        self.jobs = Jobs(self.database, table)
        self.claims = CertainClaims(self.database, table)
        self.rescues = Rescues(self.database, table)
        self.care = Care(self.database, table)
        self.purges = Purges(self.database, table)
        self.transfers = Transfers(self.database, table)
        self.statistics = Statistics(self.database, table)
        self.overviews = Overviews(self.database, table)
        self.instances = Instances(self.database)

    def watch_changes(self) -> Changes:
        """Watch for other connections' commits."""
        return self.database.watch_changes()

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
