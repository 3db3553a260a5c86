"""``clworker jobs stats``: how the jobs stand."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from clworker.cli.invocation import Invocation
from clworker.cli.options import Age, Text, format_option, own_option
from clworker.cli.render import Columns, Row, print_listing
from clworker.core.app import queries
from clworker.core.clock import now_ms
from clworker.core.times import as_duration

_COUNTS = ("queued", "processing", "completed", "error", "other")


def _percentiles(name: str) -> Callable[[Row], str | None]:
    def said(row: Row) -> str | None:
        values = [row.get(f"{name}_p{percent}_ms") for percent in (50, 90, 99)]
        return " / ".join(as_duration(value) for value in values if value is not None) or None

    return said


_COLUMNS: Columns = {
    "TASK": "task_type",
    **{name.upper(): name for name in _COUNTS},
    "OLDEST": "oldest_queued",
    "WAITING P50/P90/P99": _percentiles("waiting"),
    "RUNNING P50/P90/P99": _percentiles("running"),
    "OF": "sample",
}


@click.command()
@own_option("--since", type=Age(), metavar="AGE", help="Only jobs younger than 90s, 15m, 2h, 30d, 1w.")
@own_option("--task", type=Text(), metavar="TASK", help="Only this task type.")
@format_option
@click.pass_obj
def stats(invocation: Invocation, since: int | None, task: str | None, output_format: str) -> None:
    """Count jobs, and say how long they wait and run.

    A line for each task type: its jobs by status, the age of the oldest queued one, and three
    percentiles of the time that jobs waited (from creation to the start of the last run) and
    ran. These are of the newest 1000 finished jobs of the task type; OF (in JSON and CSV
    'sample') says of how many. The table ends with a sum; times in JSON and CSV are
    milliseconds.

    \b
    Examples:
      clworker jobs stats
      clworker jobs stats --since 1d --task image_resize -f json
    """
    since_ms = None if since is None else now_ms() - since
    rows = [asdict(line) for line in queries.job_statistics(invocation.settings(), since_ms, task)]
    if output_format == "table" and len(rows) > 1:
        rows.append(_sum(rows))
    columns = _COLUMNS if any(row["other"] for row in rows) else {k: v for k, v in _COLUMNS.items() if v != "other"}
    print_listing(rows, output_format, columns)


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    oldest = max(rows, key=lambda row: row["oldest_queued_ms"] or -1)
    return {
        "task_type": "(all)",
        **{name: sum(row[name] for row in rows) for name in _COUNTS},
        "oldest_queued": oldest["oldest_queued"],
    }
