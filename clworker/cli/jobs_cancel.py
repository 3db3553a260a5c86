"""``clworker jobs cancel``: ends jobs by hand."""

import click

from clworker.cli import suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import Text, format_option
from clworker.cli.rounds import Report
from clworker.core.app import changes


@click.command()
@click.argument(
    "job_ids",
    type=Text(),
    metavar="ID...",
    nargs=-1,
    required=True,
    shell_complete=suggest.job_ids("queued", "processing"),
)
@format_option
@click.pass_obj
def cancel(invocation: Invocation, job_ids: tuple[str, ...], output_format: str) -> int:
    """End jobs that are queued or running.

    Each ends as 'error' with the message 'cancelled'; a worker that runs it ends it at once
    and leaves its outputs as they were. Tells what was done, and exits with 1 when a job has
    ended already. 'clworker jobs retry' queues a cancelled job again.

    \b
    Examples:
      clworker jobs cancel 3f2a
      clworker jobs cancel 3f2a 77e1 -f json
    """
    report = Report(output_format)
    changes.cancel_jobs(invocation.settings(), job_ids, report.print)
    return report.exit_code
