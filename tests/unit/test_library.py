"""The repository for programs that embed the core: the engine's protocol over our store."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cl_ml_tools import BaseJobParams, ComputeModule, Job, JobRepository
from cl_ml_tools.worker import Worker
from PIL import Image

from clworker.core import SQLAlchemyJobRepository
from clworker.core.errors import UsageFault
from clworker.core.store.store import Store
from tests.support import databases, foreign
from tests.support.databases import Place
from tests.support.emptied import Emptied

TASK = "image_resize"


@pytest.fixture(params=[*databases.GENERATIONS, "postgresql"])
def place(request: pytest.FixtureRequest, database: Path) -> Place:
    """A database that another program has made, in each generation, and one of a server."""
    if request.param == "postgresql":
        postgresql: Emptied = request.getfixturevalue("postgresql")
        return postgresql.place("first", database)
    databases.create(database, request.param)
    return database


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A store over it."""
    opened = databases.open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def repository(store: Store) -> Iterator[SQLAlchemyJobRepository]:
    """A repository that holds nothing yet."""
    opened = SQLAlchemyJobRepository(store, "embedded")
    yield opened
    opened.close()


def queue(repository: SQLAlchemyJobRepository, job_id: str = "job", **params: Any) -> Job:
    job = Job(job_id=job_id, task_type=TASK, params=params)
    assert repository.add_job(job, created_by="me", priority=7) == job_id
    return job


def row(path: Place) -> dict[str, Any]:
    (found,) = databases.rows(path, "SELECT * FROM jobs")
    return found


def test_it_is_what_the_engine_calls_a_repository(repository: SQLAlchemyJobRepository) -> None:
    assert isinstance(repository, JobRepository)


def test_the_engines_worker_runs_a_real_job(
    repository: SQLAlchemyJobRepository, place: Place, picture: Path, tmp_path: Path
) -> None:
    output = tmp_path / "small.jpg"
    queue(repository, input_paths=[str(picture)], output_paths=[str(output)], width=64, height=48)
    worker = Worker(repository)
    assert asyncio.run(worker.run_once([TASK])) is True
    assert asyncio.run(worker.run_once([TASK])) is False
    with Image.open(output) as small:
        assert small.size == (64, 48)
    job = repository.get_job("job")
    assert job is not None
    assert (job.status, job.progress, job.error_message) == ("completed", 100, None)
    assert job.task_output is not None and job.task_output["processed_files"] == [str(output)]
    (attempt,) = databases.rows(place, "SELECT * FROM clworker_attempts")
    assert attempt["cause"] == "completed"


class Failing(ComputeModule):
    """Fails in one of the ways that the engine knows."""

    task_type = TASK

    def __init__(self, how: object) -> None:
        self.how = how

    def get_schema(self) -> type[BaseJobParams]:
        return BaseJobParams

    async def execute(self, job: Any, params: Any, progress_callback: Any = None) -> dict[str, Any]:
        progress_callback(30)
        if isinstance(self.how, Exception):
            raise self.how
        return {"status": "ok", "task_output": self.how} if isinstance(self.how, dict) else {"error": self.how}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("it failed", "it failed"),
        (RuntimeError("it broke"), "it broke"),
        (
            {"path": Path("x")},
            "a value cannot be kept in the database: Object of type PosixPath is not JSON serializable",
        ),
    ],
    ids=["reports an error", "raises", "returns what is no JSON"],
)
def test_a_failing_task_ends_its_job(
    repository: SQLAlchemyJobRepository, place: Place, how: object, message: str
) -> None:
    queue(repository)
    assert asyncio.run(Worker(repository, {TASK: Failing(how)}).run_once())
    assert (row(place)["status"], row(place)["progress"]) == ("error", 30)
    assert row(place)["error_message"] == message


def test_a_job_is_added_and_deleted_as_it_was_given(repository: SQLAlchemyJobRepository, place: Place) -> None:
    job = queue(repository, width=5)
    assert repository.get_job("job") == job
    added = row(place)
    assert (added["created_by"], added.get("priority", 7), added["max_retries"]) == ("me", 7, 3)
    with pytest.raises(UsageFault):
        repository.add_job(job)
    assert repository.delete_job("job") is True
    assert repository.delete_job("job") is False
    assert repository.get_job("job") is None


def test_a_job_that_it_does_not_hold_is_updated_as_services_do(
    repository: SQLAlchemyJobRepository, place: Place
) -> None:
    queue(repository)
    assert repository.update_job("job", status="error", error_message="cancelled", task_output={"a": 1}, priority=2)
    job = repository.get_job("job")
    assert job is not None and (job.status, job.error_message, job.task_output) == ("error", "cancelled", {"a": 1})
    assert repository.update_job("job", priority=9) is True
    assert repository.update_job("unheard-of", status="error") is False
    with pytest.raises(TypeError, match=r"^no such field of a job: colour, params$"):
        repository.update_job("job", colour="red", params={})


def test_every_field_of_a_held_job_can_be_written(repository: SQLAlchemyJobRepository, place: Place) -> None:
    """All but its times: they are the claim's."""
    queue(repository)
    repository.fetch_next_job([TASK])
    started_at = row(place)["started_at"]
    assert repository.update_job("job", progress=40)
    assert repository.update_job("job", task_output={"so": "far"}, error_message="careful", started_at=1)
    assert repository.update_job("job", status="processing")
    job = repository.get_job("job")
    assert job is not None and (job.progress, job.task_output, job.error_message) == (40, {"so": "far"}, "careful")
    assert row(place)["started_at"] == started_at
    for given_percent, written in ((100, 99), (-5, 0), (1000, 99)):
        assert repository.update_job("job", progress=given_percent)
        assert row(place)["progress"] == written
    with pytest.raises(ValueError, match="'running' is not a valid"):
        repository.update_job("job", status="running")
    assert repository.update_job("job", status="queued")
    assert (row(place)["status"], row(place)["retry_count"]) == ("queued", 0)


@pytest.mark.parametrize("fields", [{"progress": 5}, {"status": "completed", "task_output": {"late": 1}}])
def test_an_update_after_the_claim_was_lost_is_refused(
    repository: SQLAlchemyJobRepository, place: Place, fields: dict[str, Any]
) -> None:
    queue(repository)
    repository.fetch_next_job([TASK])
    foreign.reset(place, "job", started_at="NULL")
    foreign.claim(place, "job", 1)
    before = row(place)
    assert repository.update_job("job", **fields) is False
    assert row(place) == before


@pytest.mark.parametrize("params", ["not JSON", "[1]", "null"])
def test_a_job_of_others_whose_params_are_no_object_can_be_read(
    repository: SQLAlchemyJobRepository, place: Place, params: str
) -> None:
    databases.insert(place, [{"params": params, "progress": 250, "output": "[1]"}])
    job = repository.get_job("job-0")
    assert job is not None and (job.params, job.progress, job.task_output) == ({}, 100, None)


def locks(place: Place) -> list[Path]:
    return list((databases.home(place).parent / "clworker-locks").iterdir())


def test_closing_returns_what_was_fetched_and_leaves_no_trace(store: Store, place: Place) -> None:
    repository = SQLAlchemyJobRepository(store)
    queue(repository)
    assert repository.fetch_next_job([TASK]) is not None
    assert repository.fetch_next_job([TASK]) is None
    assert len(locks(place)) == 1
    repository.close()
    repository.close()
    assert (row(place)["status"], row(place)["retry_count"]) == ("queued", 0)
    assert locks(place) == []
    assert databases.rows(place, "SELECT * FROM clworker_instances WHERE ended_at IS NULL") == []
    assert repository.fetch_next_job([TASK]) is not None
    repository.close()


def test_what_closing_cannot_return_is_left_for_a_rescuer(store: Store, place: Place) -> None:
    repository = SQLAlchemyJobRepository(store)
    queue(repository)
    repository.fetch_next_job([TASK])
    foreign.delete(place, "job")
    repository.close()
    ((instance, lock),) = store.instances.provably_dead()
    assert [Path(lock.path)] == locks(place)
    assert store.rescues.rescue(instance) == []
    assert store.instances.end(instance)
