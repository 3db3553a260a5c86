"""``clworker jobs export``: jobs as JSON lines, for another database or for keeping."""

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from clworker.cli import exits
from clworker.cli.invocation import Invocation
from clworker.cli.options import selection_options
from clworker.cli.render import print_lines
from clworker.core.app import queries
from clworker.core.clock import now_ms
from clworker.core.errors import ClworkerError
from clworker.core.models.requests import JobFilter


@click.command("export")
@selection_options
@click.pass_obj
def export_jobs(invocation: Invocation, status: str | None, task: str | None, since: int | None) -> int:
    """Write jobs as JSON lines.

    Every job that matches, one a line, in the order in which they were added, with all of its
    fields; times are Unix milliseconds. Not their files, and not what is remembered of their
    attempts. Jobs that change meanwhile come as they stood at one moment: to move a queue,
    stop its workers first. A job that no import would take is left out and told; the exit
    code is 1 then.

    \b
    Examples:
      clworker jobs export
      clworker jobs export --status error --since 1w
    """
    settings = invocation.settings()
    wanted = JobFilter(status, task, None if since is None else now_ms() - since)
    left_out: list[str] = []

    def on_left_out(fault: str) -> None:
        left_out[:] = [fault]
        exits.say(fault)

    found: Iterable[dict[str, Any]] = queries.export_jobs(settings, wanted, on_left_out)
    try:
        if sys.stderr.isatty() and not sys.stdout.isatty():
            total = queries.count_jobs(settings, wanted)
            with click.progressbar(found, length=total, label="export", file=sys.stderr) as bar:
                print_lines(bar)
        else:
            print_lines(found)
    except BrokenPipeError:
        raise
    except OSError as failure:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered would fail again
        raise ClworkerError(f"the jobs cannot be written to stdout: {failure.strerror or failure}") from failure
    return exits.NOT_COMPLETED if left_out else exits.DONE
