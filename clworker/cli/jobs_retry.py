"""``clworker jobs retry``: has jobs tried again by hand."""

import click

from clworker.cli import suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import Text, format_option, own_option
from clworker.cli.rounds import Report
from clworker.core.app import changes


@click.command()
@click.argument(
    "job_ids",
    type=Text(),
    metavar="ID...",
    nargs=-1,
    required=True,
    shell_complete=suggest.job_ids("error", "processing"),
)
@own_option(
    "--force",
    is_flag=True,
    help="Also take back a job in processing that no worker of ours holds which may still live.",
)
@format_option
@click.pass_obj
def retry(invocation: Invocation, job_ids: tuple[str, ...], force: bool, output_format: str) -> int:
    """Queue jobs again that have ended in error.

    They get all their retries anew. A job that is queued is left as it is. One in processing
    is refused with who holds it, and the exit code is 1; with --force it is taken back where
    the worker that held it is dead, or is another program's and known to you to be gone.

    \b
    Examples:
      clworker jobs retry 3f2a 77e1
      clworker jobs retry --force 3f2a
    """
    report = Report(output_format)
    changes.retry_jobs(invocation.settings(), job_ids, force, report.print)
    return report.exit_code
