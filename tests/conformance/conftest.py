"""One suite over every kind of database, SQLite's and PostgreSQL's: both generations, and the one clworker makes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clworker.core.models.attempts import Claim
from clworker.core.models.jobs import NewJob
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.clock import Clock, stopped_clock
from tests.support.databases import Place
from tests.support.emptied import Emptied

TASK = "image_resize"


@dataclass(frozen=True)
class Bench:
    """A store under test and the place that it works on."""

    store: Store
    path: Place
    generation: str

    @property
    def home(self) -> Path:
        """The path beside which lock files lie."""
        return self.store.database.home

    @property
    def has_priority(self) -> bool:
        return self.generation != "first"

    @property
    def result_column(self) -> str:
        return "task_output" if self.generation == "first" else "output"

    def queue(self, job_id: str = "job", **fields: object) -> None:
        """Have another program queue a job."""
        databases.insert(self.path, [{"job_id": job_id, "task_type": TASK, **fields}])

    def claim(self, instance: str = "instance-a") -> Claim:
        """Claim the next job, which must be there."""
        (claim,) = self.store.claims.claim(instance, [TASK])
        return claim

    def row(self, job_id: str = "job") -> dict[str, object]:
        """Return the whole row of a job as it is in the file; nothing when it is gone."""
        return next(iter(databases.rows(self.path, "SELECT * FROM jobs WHERE job_id = ?", job_id)), {})

    def attempts(self, job_id: str = "job") -> list[dict[str, object]]:
        """Return what clworker remembers of the attempts at a job, oldest first."""
        return databases.rows(self.path, "SELECT * FROM clworker_attempts WHERE job_id = ? ORDER BY id", job_id)

    def submit(self, job_id: str = "job", priority: int = 5, max_retries: int = 3) -> None:
        """Queue a job through the store itself."""
        self.store.jobs.add(NewJob(job_id, TASK, {"width": 1}, priority, max_retries))


KINDS = ("own", "first")
"""Of the generation "current" clworker makes just what others make by hand."""


@pytest.fixture(params=[*KINDS, *(f"postgresql-{kind}" for kind in KINDS)])
def bench(request: pytest.FixtureRequest, database: Path) -> Iterator[Bench]:
    """A store over each kind of database."""
    generation = str(request.param).removeprefix("postgresql-")
    if generation != request.param:
        postgresql: Emptied = request.getfixturevalue("postgresql")
        yield _server_bench(postgresql, generation, database)
        return
    if generation != "own":
        databases.create(database, generation)
    yield from _bench(database, generation)


@pytest.fixture(params=KINDS)
def file_bench(request: pytest.FixtureRequest, database: Path) -> Iterator[Bench]:
    """A store over each kind of SQLite database, for what only such a one does."""
    if request.param != "own":
        databases.create(database, request.param)
    yield from _bench(database, request.param)


@pytest.fixture(params=KINDS)
def server_bench(request: pytest.FixtureRequest, postgresql: Emptied, database: Path) -> Bench:
    """A store over each kind of PostgreSQL database, for what only such a one does."""
    return _server_bench(postgresql, request.param, database)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, database: Path) -> Place:
    """A place where there is no table yet, or none with anything in it."""
    if request.param == "sqlite":
        return database
    postgresql: Emptied = request.getfixturevalue("postgresql")
    return postgresql.place("own", database)


def _server_bench(postgresql: Emptied, generation: str, home: Path) -> Bench:
    place = postgresql.place(generation, home)
    return Bench(postgresql.store(place), place, generation)


def _bench(place: Place, generation: str) -> Iterator[Bench]:
    store = databases.open_store(place)
    yield Bench(store, place, generation)
    store.close()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The store's clock, standing still until the test moves it."""
    with stopped_clock() as clock:
        yield clock
