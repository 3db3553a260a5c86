"""One suite over every kind of database: both generations made by hand, and the one clworker makes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clworker.core.models import Claim, NewJob
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.clock import Clock, stopped_clock

TASK = "image_resize"


@dataclass(frozen=True)
class Bench:
    """A store under test and the file that it works on."""

    store: Store
    path: Path
    generation: str

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


@pytest.fixture(params=["own", *databases.GENERATIONS])
def bench(request: pytest.FixtureRequest, database: Path) -> Iterator[Bench]:
    """A store over each kind of database."""
    if request.param != "own":
        databases.create(database, request.param)
    store = Store(f"sqlite:///{database}")
    yield Bench(store, database, request.param)
    store.close()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The store's clock, standing still until the test moves it."""
    with stopped_clock() as clock:
        yield clock
