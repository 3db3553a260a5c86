"""``clworker jobs import``: jobs from JSON lines, as ``jobs export`` writes them."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from clworker.cli import exits, suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import format_option, own_option
from clworker.cli.render import print_thing
from clworker.core.app import changes
from clworker.core.errors import UsageFault
from clworker.core.models.reports import ImportReport

OnRead = Callable[[int], None]
_EXISTING = ("refuse", "skip")


@click.command("import")
@click.argument("path", metavar="[FILE]", default="-", shell_complete=suggest.files)
@own_option(
    "--existing",
    type=click.Choice(_EXISTING),
    metavar="WHAT",
    default="refuse",
    help="At a job whose id is there already: refuse, or skip.",
)
@own_option("--dry-run", is_flag=True, help="Add nothing, and check every line.")
@format_option
@click.pass_obj
def import_jobs(invocation: Invocation, path: str, existing: str, dry_run: bool, output_format: str) -> int:
    """Add jobs from JSON lines.

    Reads FILE or stdin. Ids, times, statuses and retries are kept; a job that was processing
    is queued, at no cost of a retry. Each line is checked; the first that is wrong ends the
    import. Up to 500 jobs are added in one transaction, all or none, so after a fault or a
    crash the same file can be imported again with '--existing skip'. A dry run tells up to 20
    faults. Workers may run meanwhile.

    \b
    Examples:
      clworker jobs import jobs.jsonl --dry-run
      clworker jobs import --existing skip jobs.jsonl
    """
    settings = invocation.settings()
    report = ImportReport(dry_run)
    ended = False
    try:
        with _opened(path) as file, _progress_bar(file) as on_read:
            changes.import_jobs(settings, file, report, skip_existing=existing == "skip", on_read=on_read)
        ended = True
    finally:
        if ended or report.lines:
            _print(report, output_format)
        for fault in report.faults:
            exits.say(fault)
    return exits.NOT_COMPLETED if report.faults else exits.DONE


def _print(report: ImportReport, output_format: str) -> None:
    if output_format != "table":
        print_thing({name: value for name, value in asdict(report).items() if name != "faults"}, output_format)
        return
    jobs = f"{report.imported} job{'' if report.imported == 1 else 's'}"
    again = f", {report.requeued} of them queued again that were processing" if report.requeued else ""
    skipped = f"; {report.skipped} skipped that were there already" if report.skipped else ""
    click.echo(f"{jobs} {'would be ' if report.dry_run else ''}imported{again}{skipped}")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open the file, or take stdin for ``-``. Raises UsageFault."""
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("name a FILE, or pipe one to stdin", click.get_current_context())
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
        except (OSError, ValueError) as failure:
            reason = getattr(failure, "strerror", None) or str(failure)
            raise UsageFault(f"the file {path!r} cannot be read: {reason}") from failure
        yield file


@contextmanager
def _progress_bar(file: BinaryIO) -> Iterator[OnRead]:
    """Show how much of a file is read, on stderr when it is a terminal."""
    status = os.fstat(file.fileno())
    if not sys.stderr.isatty() or not stat.S_ISREG(status.st_mode):
        yield lambda _size: None
        return
    with click.progressbar(length=status.st_size, label="import", file=sys.stderr) as bar:
        yield bar.update
