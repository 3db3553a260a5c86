"""``clworker clear-capability``: removes what a dead worker has left at the broker."""

from dataclasses import asdict

import click

from clworker.cli import exits, suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import format_option, mqtt_options, own_option
from clworker.cli.render import Columns, print_listing
from clworker.core.app import operation

_COLUMNS: Columns = {"WORKER": "worker_id", "ACTION": "action", "REASON": "reason", "MESSAGE": "payload"}


@click.command("clear-capability")
@click.argument("worker_ids", metavar="[ID]...", nargs=-1, shell_complete=suggest.worker_ids)
@own_option(
    "--stale",
    is_flag=True,
    help="Clear every message that is malformed or whose worker stays silent for three heartbeats.",
)
@own_option("--force", is_flag=True, help="Clear the message of a live worker too.")
@mqtt_options
@format_option
@click.pass_obj
def clear_capability(
    invocation: Invocation,
    /,
    worker_ids: tuple[str, ...],
    stale: bool,
    force: bool,
    output_format: str,
    **options: str | None,
) -> int:
    """Remove stale retained capability messages from the broker.

    Tells what stood there. The message of a worker that lives is kept, and the exit code is
    1, unless --force is given. Needs the broker, not the database.

    \b
    Examples:
      clworker clear-capability worker-1
      clworker clear-capability --stale
    """
    if not worker_ids and not stale:
        raise click.UsageError("name a worker, or give --stale", click.get_current_context())
    for worker_id in worker_ids:
        if not worker_id or any(character in worker_id for character in "/+#\0"):
            message = f"{worker_id!r} is no worker id: it must not contain '/', '+' or '#'"
            raise click.UsageError(message, click.get_current_context())
    settings = invocation.broker_settings(**options)
    result = operation.clear_capabilities(settings, worker_ids, stale=stale, force=force)
    print_listing([asdict(cleared) for cleared in result], output_format, _COLUMNS)
    refused = not stale and any(cleared.action == "kept" for cleared in result)
    return exits.NOT_COMPLETED if refused else exits.DONE
