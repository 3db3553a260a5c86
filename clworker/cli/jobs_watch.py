"""``clworker jobs watch``: jobs while they wait and run."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from clworker.cli import exits
from clworker.cli.invocation import Invocation
from clworker.cli.options import Text, own_option
from clworker.cli.render import print_thing
from clworker.cli.results import exit_code_of, print_result, result_line
from clworker.cli.screen import Screen
from clworker.core.app import queries
from clworker.core.clock import now_ms
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.printable import printable
from clworker.core.times import as_age

if TYPE_CHECKING:
    from clworker.core.watching import Look

_BAR_WIDTH = 25
_REDRAWN_EVERY = 1.0
_FIELDS = (
    *("job_id", "task_type", "status", "progress", "error_message"),
    *("created_at", "started_at", "completed_at", "retry_count"),
)


@click.command()
@click.argument("job_id", type=Text(), metavar="[ID]", required=False)
@own_option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many jobs.")
@own_option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(("table", "jsonl")),
    default="table",
    show_default=True,
    help="Lines for people, or one JSON object for each change.",
)
@click.pass_obj
def watch(invocation: Invocation, job_id: str | None, limit: int, output_format: str) -> int:
    """Watch jobs while they wait and run.

    On a terminal shows a progress bar for each job, and in a pipe one line for each change.
    With an ID, ends when that job ends, and exits with 1 when it did not complete. Without,
    shows the jobs that run and wait, and goes on until Ctrl-C. Looks into the database only
    after somebody has written to it, ten times a second at most.

    \b
    Examples:
      clworker jobs watch
      clworker jobs watch 3f2a
      clworker jobs watch --limit 5 -f jsonl
    """
    live = Screen() if output_format == "table" and Screen.is_possible() else None
    try:
        with queries.watch_jobs(invocation.settings(), job_id, limit) as watched:
            view = _Bars(live) if live is not None else _Lines(output_format)
            while True:
                look = watched.wait()
                ended = look.active[0] if look is not None and job_id is not None else None
                if ended is not None and ended.is_final:
                    return view.end(ended)
                view.show(look)
    except KeyboardInterrupt:  # the usual way to end it, and no failure
        return exits.SIGNALLED + signal.SIGINT


class _Lines:
    """Prints a line for each change; click flushes each, so that a reader sees it at once."""

    def __init__(self, output_format: str) -> None:
        self._output_format = output_format

    def show(self, look: Look | None) -> None:
        """Print what has changed."""
        for job in look.changed if look is not None else ():
            self._print(job)

    def end(self, job: ComputeJob) -> int:
        """Print how the one job ended; return the exit code."""
        self._print(job)
        return exit_code_of(job)

    def _print(self, job: ComputeJob) -> None:
        if self._output_format == "jsonl":
            print_thing({name: getattr(job, name) for name in _FIELDS}, "jsonl")
        elif job.is_final:
            print_result(job, "table")
        else:
            click.echo(printable(f"{job.job_id} {job.task_type} {job.status} {job.progress}%"))


class _Bars:
    """Draws a bar for each job; those that have ended scroll away above."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._active: Sequence[ComputeJob] = ()
        self._counts: dict[str, int] = {}
        self._drawn_at = -_REDRAWN_EVERY

    def show(self, look: Look | None) -> None:
        """Draw what has changed, and once a second how the time passes."""
        if look is not None:
            self._active, self._counts = look.active, look.counts
        elif not self._screen.has_resized() and time.monotonic() < self._drawn_at + _REDRAWN_EVERY:
            return
        ended = [job for job in look.changed if job.is_final] if look is not None else []
        self._screen.draw([result_line(job) for job in ended], self._live_lines())
        self._drawn_at = time.monotonic()

    def end(self, job: ComputeJob) -> int:
        """Put the result in the place of the bar; return the exit code."""
        self._screen.draw([], [])
        print_result(job, "table")
        return exit_code_of(job)

    def _live_lines(self) -> list[str]:
        if not self._counts:
            return [_bar_line(job) for job in self._active]
        running = self._counts[ComputeJobStatus.PROCESSING]
        waiting = self._counts[ComputeJobStatus.QUEUED]
        shown = self._active[: max(0, self._screen.rows - 2)]
        hidden = running + waiting - len(shown)
        more = f" ({hidden} not shown)" if hidden > 0 else ""
        return [*map(_bar_line, shown), f"{running} processing, {waiting} queued{more}; Ctrl-C ends watching"]


def _bar_line(job: ComputeJob) -> str:
    percent = min(100, max(0, job.progress))
    done = percent * _BAR_WIDTH // 100
    since = job.started_at if job.status == ComputeJobStatus.PROCESSING else job.created_at
    age = "" if since is None else as_age(now_ms() - since)
    # Plain ASCII: every terminal can show it, in whatever encoding.
    bar = f"[{'#' * done}{'-' * (_BAR_WIDTH - done)}]"
    return f"{bar} {percent:3}%  {job.status:<10} {age:>4}  {job.task_type:<16}  {job.job_id}"
