"""Jobs that are moved, over every kind of database: all of them, as they were, in their order."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clworker.core.models.reports import ImportReport
from clworker.core.models.requests import JobFilter
from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.transfer.exporting import export
from clworker.core.transfer.importing import Import
from tests.conformance.conftest import Bench

STATUSES = ("queued", "completed", "error")


def job(number: int, bench: Bench) -> dict[str, Any]:
    return {
        "job_id": f"job-{number}",
        "task_type": "image_resize",
        "status": STATUSES[number % 3],
        "progress": number % 100,
        "priority": number % 11 if bench.has_priority else None,
        "params": {"size": [number, 1.5, None], "text": "ü\u0001"},
        "output": {"size": 1} if number % 2 else None,
        "error_message": "it broke: é" if number % 2 else None,
        "created_at": number,
        "started_at": number + 1 if number % 4 else None,
        "completed_at": None,
        "updated_at": 1 << 40 if bench.has_priority else None,
        "retry_count": number % 4,
        "max_retries": 3,
        "created_by": "ann" if number % 2 else None,
    }


def imported(bench: Bench, jobs: list[dict[str, Any]], *, skip_existing: bool) -> ImportReport:
    report = ImportReport(dry_run=False)
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in jobs)
    Import(bench.store, NoopBroadcaster(), report, skip_existing).run(io.BytesIO(lines), lambda _size: None)
    return report


def exported(bench: Bench, wanted: JobFilter) -> list[dict[str, Any]]:
    left_out: list[str] = []
    found = list(export(bench.store, wanted, left_out.append))
    assert left_out == []
    return found


def test_jobs_come_out_as_they_went_in(bench: Bench) -> None:
    jobs = [job(number, bench) for number in range(600)]
    assert imported(bench, jobs[:100], skip_existing=False).imported == 100
    report = imported(bench, jobs, skip_existing=True)
    assert (report.lines, report.imported, report.skipped) == (600, 500, 100)
    assert exported(bench, JobFilter()) == jobs

    wanted = JobFilter("error", "image_resize", 5)
    of_these = [each for each in jobs if each["status"] == "error" and each["created_at"] >= 5]
    assert exported(bench, wanted) == of_these
    assert bench.store.transfers.count(wanted) == len(of_these)
    assert [claim.job_id for claim in bench.store.claims.claim("instance-a", ["image_resize"])] == [
        "job-21" if bench.has_priority else "job-0"
    ]


def test_of_imports_at_once_each_job_is_added_by_one(server_bench: Bench) -> None:
    bench = server_bench
    jobs = [job(number, bench) for number in range(300)]
    with ThreadPoolExecutor(2) as pool:
        imports = [pool.submit(imported, bench, jobs, skip_existing=True) for _ in range(2)]
        assert sorted(done.result().imported for done in imports) == [0, 300]
