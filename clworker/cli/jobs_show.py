"""``clworker jobs show``: one job whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from clworker.cli import suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import Text, format_option
from clworker.cli.render import Columns, print_listing, print_thing
from clworker.core.app import queries
from clworker.core.times import as_seconds, as_time

if TYPE_CHECKING:
    from clworker.core.models.attempts import Attempt
    from clworker.core.models.jobs import ComputeJob

_TIMES = ("created_at", "started_at", "completed_at", "updated_at")
_ATTEMPT_COLUMNS: Columns = {
    "WORKER": "worker_id",
    "HOST": "host",
    "STARTED": lambda row: as_time(row["started_at"]),
    "SECONDS": lambda row: as_seconds(row["started_at"], row["ended_at"]),
    "END": lambda row: row["cause"] or "running",
    "SIGNAL": "signal",
    "EXIT CODE": "exit_code",
    "PEAK MIB": lambda row: row["peak_memory_kib"] and row["peak_memory_kib"] // 1024,
}


@click.command()
@click.argument("job_id", type=Text(), metavar="ID", shell_complete=suggest.job_ids())
@format_option
@click.pass_obj
def show(invocation: Invocation, job_id: str, output_format: str) -> None:
    """Show one job whole, with its attempts.

    A unique beginning of the id is enough.

    \b
    Examples:
      clworker jobs show 3f2a
      clworker jobs show 3f2a -f json
    """
    print_job(*queries.show_job(invocation.settings(), job_id), output_format)


def print_job(job: ComputeJob, attempts: Sequence[Attempt], output_format: str) -> None:
    """Print a job and its attempts, with times for people in a table."""
    fields = asdict(job)
    rows = [asdict(attempt) for attempt in attempts]
    if output_format != "table":
        print_thing(fields | {"attempts": rows}, output_format)
        return
    print_thing(fields | {name: as_time(fields[name]) for name in _TIMES}, output_format)
    if rows:
        click.echo()
        print_listing(rows, output_format, _ATTEMPT_COLUMNS)
