"""Jobs as lines: whatever a job is, it comes back as it was; whatever a line is, it is a job or is refused."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.models.reports import ImportReport
from clworker.core.models.requests import JobFilter
from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.store.store import Store
from clworker.core.transfer.exporting import export
from clworker.core.transfer.importing import Import
from clworker.core.transfer.lines import job_of_line
from tests.support import databases

TEXT = st.text(max_size=20)
NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
TIME = st.integers(-(1 << 63) + 1, (1 << 63) - 1)
COUNT = st.integers(0, (1 << 31) - 1)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
JOB = st.fixed_dictionaries(
    {
        "job_id": NAME,
        "task_type": NAME,
        "status": st.sampled_from(["queued", "completed", "error"]),
        "progress": st.integers(0, 100),
        "priority": st.integers(-(1 << 31) + 1, (1 << 31) - 1),
        "params": JSON.filter(lambda value: value is not None),
        "output": JSON,
        "error_message": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "created_at": TIME,
        "started_at": st.none() | TIME,
        "completed_at": st.none() | TIME,
        "updated_at": st.none() | TIME,
        "retry_count": COUNT,
        "max_retries": COUNT,
        "created_by": st.none() | NAME,
    }
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path]]:
    """A store and its file, which each example empties for itself."""
    path = tmp_path_factory.mktemp("transfer") / "jobs.db"
    store = Store(f"sqlite:///{path}")
    yield store, path
    store.close()


@settings(max_examples=25)
@given(st.lists(JOB, max_size=8, unique_by=lambda job: job["job_id"]))
def test_jobs_come_back_as_they_were(place: tuple[Store, Path], jobs: list[dict[str, Any]]) -> None:
    store, path = place
    databases.execute(path, "DELETE FROM jobs")
    lines = b"".join(json.dumps(job).encode() + b"\n" for job in jobs)
    report = ImportReport(dry_run=False)
    Import(store, NoopBroadcaster(), report, skip_existing=False).run(io.BytesIO(lines), lambda _size: None)
    assert (report.imported, report.lines) == (len(jobs), len(jobs))
    left_out: list[str] = []
    assert list(export(store, JobFilter(), left_out.append)) == jobs
    assert left_out == []


@given(
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.tuples(JOB, st.sampled_from(list(ComputeJob.__dataclass_fields__)), JSON).map(
        lambda given: json.dumps({**given[0], given[1]: given[2]}).encode()
    )
)
def test_a_line_is_a_job_or_is_refused_in_one_line(line: bytes) -> None:
    try:
        job = job_of_line(line)
    except ValueError as fault:
        assert len(str(fault).splitlines()) == 1 and len(str(fault)) < 300
    else:
        assert job.status in set(map(str, ComputeJobStatus)) and job.job_id and 0 <= job.progress <= 100
