"""Rows of ``jobs`` with anything in any column: listed, shown, claimed and ended, and none harms another."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clworker.cli.jobs import _COLUMNS
from clworker.cli.jobs_show import print_job
from clworker.cli.render import print_listing
from clworker.core.errors import JobNotFound
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.requests import JobFilter
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.hostile import assert_safe, column_values, fuzzed, rendered, strict_json, unicode_text

TASK = "image_resize"
_OTHERS = (
    *("created_at", "started_at", "completed_at", "updated_at", "priority", "params", "progress", "result"),
    *("error_message", "retry_count", "max_retries", "created_by"),
)


@dataclass(frozen=True)
class RawText:
    """Bytes that a program has written as text."""

    data: bytes


anything = column_values | st.binary(max_size=40).map(RawText)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "job_id": unicode_text | st.binary(max_size=8).map(RawText) | anything,
            "task_type": st.just(TASK) | anything,
            "status": st.just("queued") | st.sampled_from(list(map(str, ComputeJobStatus))) | anything,
        },
        optional=dict.fromkeys(_OTHERS, anything),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: (type(row["job_id"]), row["job_id"]),
)


@dataclass
class Queue:
    """A database without the constraints that sound programs rely on, and a store over it."""

    store: Store
    connection: sqlite3.Connection
    result: str

    def fill(self, contents: list[dict[str, Any]]) -> int:
        """Replace all rows and return how many there are."""
        self.connection.execute("DELETE FROM jobs")
        present = {row[1].decode() for row in self.connection.execute("PRAGMA table_info(jobs)")}
        for row in contents:
            values = {self.result if name == "result" else name: value for name, value in row.items()}
            values = {name: value for name, value in values.items() if name in present}
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in values.values())
            plain = [value.data if isinstance(value, RawText) else value for value in values.values()]
            self.connection.execute(f"INSERT OR IGNORE INTO jobs ({', '.join(values)}) VALUES ({marks})", plain)
        (count,) = self.connection.execute("SELECT count(*) FROM jobs").fetchone()
        return int(count)

    def waiting(self) -> int:
        """Return how many rows could be claimed that have any id."""
        query = "SELECT count(*) FROM jobs WHERE status = 'queued' AND task_type = ? AND job_id IS NOT NULL"
        return int(self.connection.execute(query, (TASK,)).fetchone()[0])

    def others(self) -> list[Any]:
        """Return the rows that no claim may touch."""
        query = "SELECT * FROM jobs WHERE status IS NOT 'queued' OR task_type IS NOT ? OR job_id IS NULL ORDER BY id"
        return self.connection.execute(query, (TASK,)).fetchall()


@pytest.fixture(scope="module", params=list(databases.GENERATIONS))
def queue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    path: Path = tmp_path_factory.mktemp("rows") / "media_store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = bytes
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(databases.GENERATIONS[request.param].replace(" NOT NULL", ""))
        store = Store(f"sqlite:///{path}")
        yield Queue(store, connection, "task_output" if request.param == "first" else "output")
        store.close()


@fuzzed
@given(contents=rows)
def test_every_format_of_every_listing_is_sound(queue: Queue, contents: list[dict[str, Any]]) -> None:
    count = queue.fill(contents)
    found = queue.store.jobs.matching(JobFilter())
    assert len(found) == count
    listed = {
        name: rendered(lambda name=name: print_listing([asdict(job) for job in found], name, _COLUMNS))  # type: ignore[misc]
        for name in ("table", "json", "jsonl", "csv")
    }
    for output in listed.values():
        assert_safe(output)
    assert len(strict_json(listed["json"])) == count
    assert [strict_json(line) for line in listed["jsonl"].splitlines()] == strict_json(listed["json"])
    assert len(listed["csv"].splitlines()) == count + 1
    assert len(listed["table"].splitlines()) == count + 2
    for job in found:
        for name in ("table", "json", "csv"):
            assert_safe(rendered(lambda job=job, name=name: print_job(job, [], name)))  # type: ignore[misc]


@fuzzed
@given(contents=rows, prefix=unicode_text)
def test_an_id_finds_its_job_or_is_refused_in_words(queue: Queue, contents: list[dict[str, Any]], prefix: str) -> None:
    queue.fill(contents)
    for name in (prefix, *(job.job_id for job in queue.store.jobs.matching(JobFilter()))):
        try:
            assert queue.store.jobs.find(name).job_id.startswith(name)
        except JobNotFound as refusal:
            assert str(refusal)


@fuzzed
@given(contents=rows, data=st.data())
def test_every_job_that_waits_is_claimed_once_and_comes_to_an_end(
    queue: Queue, contents: list[dict[str, Any]], data: st.DataObject
) -> None:
    queue.fill(contents)
    others, waiting = queue.others(), queue.waiting()
    ended: list[str] = []
    while claims := queue.store.claims.claim("instance-a", [TASK, "another"], limit=3):
        for claim in claims:
            assert claim.job.job_id not in ended or claim.job.retry_count > 0
            if _end(queue.store, claim, data.draw(st.sampled_from(["done", "failed", "returned"]))):
                ended.append(claim.job_id)
        assert len(ended) <= waiting
    assert queue.waiting() == 0
    assert len(ended) == len(set(ended))
    now = queue.connection.execute("SELECT * FROM jobs ORDER BY id").fetchall()
    assert [row for row in now if row in others] == others, "what was not ours to claim has changed"


def _end(store: Store, claim: Claim, how: str) -> bool:
    """End one claim as the worker would; tell whether that was the job's end."""
    store.claims.progress(claim, 50)
    if how == "returned" and claim.job.retry_count < min(claim.job.max_retries, 3):
        store.claims.give_back(claim, Cause.DIED, counted=True)
        return False
    done = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"files": ["é"]})
    store.claims.finish(claim, done if how == "done" else Outcome.failed("no\udcff"))
    return True
