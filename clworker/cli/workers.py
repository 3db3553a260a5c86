"""``clworker workers``: who works, as broker and database know it."""

from dataclasses import asdict

import click

from clworker.cli.invocation import Invocation
from clworker.cli.options import format_option, mqtt_options
from clworker.cli.render import Columns, print_listing
from clworker.core.app import operation
from clworker.core.clock import now_ms
from clworker.core.times import as_age

_COLUMNS: Columns = {
    "WORKER": "worker_id",
    "ROLE": "role",
    "HOST": "host",
    "PID": "pid",
    "UP": lambda row: row["started_at"] and as_age(now_ms() - row["started_at"]),
    "RUNNING": "running",
    "IDLE": "idle_count",
    "TASKS": lambda row: row["capabilities"] and ", ".join(row["capabilities"]),
    "SEEN": lambda row: row["timestamp"] and f"{as_age(now_ms() - row['timestamp'])} ago",
    "NOTE": "note",
}


@click.command()
@mqtt_options
@format_option
@click.pass_obj
def workers(invocation: Invocation, /, output_format: str, **options: str | None) -> None:
    """List the workers, and where broker and database disagree.

    \b
    Examples:
      clworker workers
      clworker workers -f json
    """
    settings = invocation.settings(**options)
    views, trouble = operation.list_workers(settings)
    print_listing([asdict(view) for view in views], output_format, _COLUMNS)
    if trouble is not None:
        raise trouble
