"""``clworker jobs purge``: removes what is finished and old."""

from dataclasses import asdict

import click

from clworker.cli import exits
from clworker.cli.invocation import Invocation
from clworker.cli.options import Age, Text, format_option, own_option
from clworker.cli.render import print_thing
from clworker.core.app import changes
from clworker.core.clock import now_ms
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.reports import PurgeReport
from clworker.core.models.requests import PurgeFilter

_STATUSES = (str(ComputeJobStatus.COMPLETED), str(ComputeJobStatus.ERROR))


@click.command()
@own_option(
    "--older-than",
    type=Age(),
    metavar="AGE",
    required=True,
    help="Only jobs that ended longer ago than this: 90s, 15m, 2h, 30d, 1w.",
)
@own_option(
    "--status",
    "statuses",
    type=click.Choice(_STATUSES),
    multiple=True,
    required=True,
    help="Only jobs that ended so; may be repeated.",
)
@own_option("--task", type=Text(), metavar="TASK", help="Only this task type, and no folders of no job.")
@own_option("--dry-run", is_flag=True, help="Remove nothing, and say what would be removed.")
@format_option
@click.pass_obj
def purge(
    invocation: Invocation,
    older_than: int,
    statuses: tuple[str, ...],
    task: str | None,
    dry_run: bool,
    output_format: str,
) -> int:
    """Delete finished jobs with their folders.

    Removes the rows, what is remembered of their attempts, and the folders 'jobs/ID' in the
    compute storage; outputs elsewhere stay. Then also folders there that belong to no job and
    have not changed for as long (an hour at least), as a submission that was killed leaves
    them. Can be stopped at any time: the next purge finishes the work. Workers go on
    meanwhile. The database file does not shrink; its space is used again.

    \b
    Examples:
      clworker jobs purge --older-than 30d --status completed --dry-run
      clworker jobs purge --older-than 12w --status completed --status error
    """
    settings = invocation.settings()
    report = PurgeReport(dry_run)
    began = False
    try:
        changes.purge_jobs(settings, PurgeFilter(statuses, now_ms() - older_than, task), report)
        began = True
    finally:
        if began or report.rows or report.folders:
            _print(report, output_format)
    for fault in report.faults:
        exits.say(f"cannot be removed, to be tried again by the next purge: {fault}")
    return exits.NOT_COMPLETED if report.faults else exits.DONE


def _print(report: PurgeReport, output_format: str) -> None:
    if output_format != "table":
        print_thing({name: value for name, value in asdict(report).items() if name != "faults"}, output_format)
        return
    verb = "would be removed" if report.dry_run else "removed"
    orphans = f", {report.orphans} of them of no job" if report.orphans else ""
    folders = _counted(report.folders, "folder")
    click.echo(f"{_counted(report.rows, 'job')} and {folders} ({_as_bytes(report.bytes)}{orphans}) {verb}")


def _as_bytes(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
