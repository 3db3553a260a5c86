"""``clworker doctor``: is everything there that a worker needs."""

from dataclasses import asdict

import click

from clworker.cli import exits
from clworker.cli.invocation import Invocation
from clworker.cli.options import format_option, mqtt_options, worker_id_option
from clworker.cli.render import Columns, Row, print_listing
from clworker.core.app import operation


def _said(row: Row) -> str:
    return f"{row['found']} → {row['advice']}" if row["advice"] else str(row["found"])


_COLUMNS: Columns = {"STATE": "state", "CHECK": "name", "FOUND → WHAT TO DO": _said}


@click.command()
@worker_id_option
@mqtt_options
@format_option
@click.pass_obj
def doctor(invocation: Invocation, /, output_format: str, **options: str | None) -> int:
    """Check everything that a worker needs, and say what to do.

    Settings, folders, database, broker, plugins and processes: a line each, ok, warning,
    failed or skipped. Takes 15 seconds at most, changes nothing and leaves nothing behind,
    also beside workers that run. Exits with 1 when a check failed. With --worker-id, a live
    worker of that name is a failure.

    \b
    Examples:
      clworker doctor
      clworker doctor --worker-id worker-2 -f json
    """
    checks = operation.examine({**invocation.options, **options})
    print_listing([asdict(check) for check in checks], output_format, _COLUMNS)
    return exits.NOT_COMPLETED if any(check.state == "failed" for check in checks) else exits.DONE
