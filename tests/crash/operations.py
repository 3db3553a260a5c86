"""What is interrupted: each prepares, yields, and then takes the steps that are counted."""

from collections.abc import Iterator
from pathlib import Path

from clworker.core import purging, submission
from clworker.core.clock import now_ms
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.reports import PurgeReport
from clworker.core.models.requests import JobRequest, PurgeFilter
from tests.crash.inline_worker import InlineWorker
from tests.crash.scene import TASK, open_store, settings_of, source_of


def open_database(folder: Path) -> Iterator[None]:
    yield
    open_store(folder).close()


def start_and_end(folder: Path) -> Iterator[None]:
    yield
    worker = InlineWorker(folder)
    worker.start()
    worker.end()


def claim(folder: Path) -> Iterator[None]:
    worker = _started(folder)
    yield
    worker.claim()


def execute(folder: Path) -> Iterator[None]:
    _dead_one_with_outputs(folder)
    worker = _started(folder)
    worker.rescue_dead()
    claim = worker.claim()
    assert claim.older_tokens
    yield
    worker.execute(claim)


def finish(folder: Path) -> Iterator[None]:
    worker = _started(folder)
    claim = worker.claim()
    placement = worker.execute(claim)
    yield
    worker.conclude(claim, placement)


def fail(folder: Path) -> Iterator[None]:
    worker = _started(folder)
    claim = worker.claim()
    placement = worker.execute(claim)
    yield
    worker.conclude(claim, placement, Outcome.failed("a limit was exceeded"))


def give_back(folder: Path) -> Iterator[None]:
    worker = _started(folder)
    claim = worker.claim()
    placement = worker.execute(claim)
    yield
    worker.give_back(claim, placement, Cause.DIED, counted=True)


def write_progress(folder: Path) -> Iterator[None]:
    worker = _started(folder)
    claim = worker.claim()
    yield
    worker.store.claims.progress(claim, 50)


def rescue(folder: Path) -> Iterator[None]:
    _dead_one_with_outputs(folder)
    worker = _started(folder)
    yield
    worker.rescue_dead()


def take_over(folder: Path) -> Iterator[None]:
    other = _started(folder)
    other.execute(other.claim())
    worker = InlineWorker(folder)
    yield
    worker.store.rescues.take_over(other.instance.instance)
    worker.start()


def submit(folder: Path) -> Iterator[None]:
    settings, store = settings_of(folder), open_store(folder)
    request = JobRequest(TASK, (source_of(folder), source_of(folder)), {}, None, 5)
    prepared = submission.PreparedParams({}, takes_files=True, output_format=None)
    yield
    submission.submit(settings, store, request, prepared)


def purge(folder: Path) -> Iterator[None]:
    settings, store = settings_of(folder), open_store(folder)
    wanted = PurgeFilter(("completed",), now_ms())
    yield
    purging.purge(settings, store, wanted, PurgeReport(dry_run=False))


def _started(folder: Path) -> InlineWorker:
    worker = InlineWorker(folder)
    worker.start()
    return worker


def _dead_one_with_outputs(folder: Path) -> None:
    worker = _started(folder)
    worker.execute(worker.claim())
    worker.die()
