"""The memory of jobs whose inputs are not seen: bounded, growing more patient, and forgotten in time."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from clworker.core.models.attempts import Claim
from clworker.core.store.store import Store
from clworker.core.worker import missed
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.missed import MissedInputs
from tests.support import databases

TASK = "image_resize"


class Memory:
    """A memory over a real database and a folder of inputs."""

    def __init__(self, store: Store, database: Path, ledger: Ledger, folder: Path) -> None:
        self.store = store
        self.database = database
        self.folder = folder
        self.missed = MissedInputs(store, ledger, [folder])
        self.looks = 0

    def miss(self, *job_ids: str) -> None:
        """Queue jobs and note that their inputs, files of their names, are not there."""
        databases.insert(self.database, [{"job_id": job_id} for job_id in job_ids])
        for job_id in job_ids:
            job = self.store.jobs.get(job_id)
            assert job is not None
            self.missed.note(Claim(job, "token", 1), str(self.folder / job_id))

    def claimed(self) -> list[str]:
        return [claim.job_id for claim in self.store.claims.claim("me", [TASK], 10)]

    def watch_until(self, condition: Callable[[], bool]) -> None:
        """Have inputs looked for until the condition holds."""

        async def run() -> None:
            watching = asyncio.create_task(self.missed.watch(lambda: None))
            deadline = time.monotonic() + 20
            while not condition():
                assert time.monotonic() < deadline and not watching.done()
                await asyncio.sleep(0.005)
            watching.cancel()

        asyncio.run(run())


@pytest.fixture
def memory(store: Store, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    monkeypatch.setattr(missed, "FIRST_PAUSE", 0.01)
    folder = tmp_path / "inputs"
    folder.mkdir()
    with closing(Ledger()) as ledger:
        yield Memory(store, database, ledger, folder)


def test_what_was_missed_is_passed_over_until_its_input_appears(memory: Memory) -> None:
    memory.miss("a", "b")
    databases.insert(memory.database, [{"job_id": "c"}])
    assert memory.claimed() == ["c"]
    assert not memory.store.claims.any_waiting([TASK])
    (memory.folder / "b").touch()
    memory.watch_until(lambda: memory.store.claims.any_waiting([TASK]))
    assert memory.claimed() == ["b"]


def test_jobs_that_wait_no_more_are_forgotten(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "MOST_MISSED", 2)
    memory.miss("a")
    assert not memory.missed.is_full
    memory.miss("b")
    assert memory.missed.is_full
    memory.miss("too-many")  # which claims no more than this
    memory.store.care.cancel(["a"])
    memory.watch_until(lambda: not memory.missed.is_full)
    assert memory.claimed() == ["too-many"]  # b is still remembered


def test_looks_become_rarer(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sees_nothing(_path: str, _roots: object) -> bool:
        looks.append(time.monotonic())
        return False

    monkeypatch.setattr(missed, "sees_input", sees_nothing)
    monkeypatch.setattr(missed, "LONGEST_PAUSE", 0.08)
    memory.miss("a")
    memory.watch_until(lambda: len(looks) > 5)
    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert all(pause >= least for pause, least in zip(pauses, (0.02, 0.04, 0.08, 0.08, 0.08), strict=True))


def test_a_file_server_that_hangs_holds_up_neither_the_loop_nor_the_end(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def hangs(_path: str, _roots: object) -> bool:
        asked.set()
        return answered.wait(60)

    monkeypatch.setattr(missed, "sees_input", hangs)
    memory.miss("a")
    memory.watch_until(asked.is_set)
    assert memory.missed.is_full is False and not answered.is_set()
    answered.set()  # long after the loop has ended
