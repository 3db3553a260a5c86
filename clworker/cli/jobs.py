"""``clworker jobs``: the group, and ``jobs list``, which is its default."""

import sys
from dataclasses import asdict

import click

from clworker.cli import suggest
from clworker.cli.invocation import Invocation
from clworker.cli.lazy import LazyGroup
from clworker.cli.options import Text, format_option, own_option, selection_options
from clworker.cli.render import Columns, print_listing, shortened
from clworker.core.app import queries
from clworker.core.clock import now_ms
from clworker.core.times import as_age, as_seconds

_COMMANDS = {
    "cancel": ("clworker.cli.jobs_cancel:cancel", "End jobs that are queued or running."),
    "explain": ("clworker.cli.jobs_explain:explain", "Say why a job is where it is."),
    "export": ("clworker.cli.jobs_export:export_jobs", "Write jobs as JSON lines."),
    "import": ("clworker.cli.jobs_import:import_jobs", "Add jobs from JSON lines."),
    "list": ("clworker.cli.jobs:list_jobs", "List jobs, newest first (the default)."),
    "purge": ("clworker.cli.jobs_purge:purge", "Delete finished jobs with their folders."),
    "retry": ("clworker.cli.jobs_retry:retry", "Queue jobs again that have ended in error."),
    "show": ("clworker.cli.jobs_show:show", "Show one job whole, with its attempts."),
    "stats": ("clworker.cli.jobs_stats:stats", "Count jobs, and say how long they wait and run."),
    "submit": ("clworker.cli.jobs_submit:submit", "Queue a job for some files."),
    "watch": ("clworker.cli.jobs_watch:watch", "Watch jobs while they wait and run."),
}

_LONGEST_ERROR = 60
_COLUMNS: Columns = {
    "JOB": "job_id",
    "TASK": "task_type",
    "STATUS": "status",
    "PROGRESS": lambda row: f"{row['progress']}%",
    "PRIORITY": "priority",
    "AGE": lambda row: as_age(now_ms() - row["created_at"]),
    "SECONDS": lambda row: as_seconds(row["started_at"], row["completed_at"]),
    "ERROR": lambda row: shortened(row["error_message"], _LONGEST_ERROR),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS, default="list")
def jobs() -> None:
    """Query the jobs and take care of them.

    Without a command, lists jobs: 'clworker jobs --status queued' works as
    'clworker jobs list --status queued' does. Wherever a job's id is asked for, a unique
    beginning of it is enough.

    \b
    Examples:
      clworker jobs --status error --since 2h
      clworker jobs explain 3f2a
    """


@click.command("list")
@selection_options
@own_option(
    "--worker",
    type=Text(),
    metavar="NAME",
    shell_complete=suggest.worker_ids,
    help="Only jobs that this worker has claimed at some time.",
)
@own_option("--limit", type=click.IntRange(min=1), default=20, help="At most so many jobs.")
@format_option
@click.pass_obj
def list_jobs(
    invocation: Invocation,
    status: str | None,
    task: str | None,
    since: int | None,
    worker: str | None,
    limit: int,
    output_format: str,
) -> None:
    """List jobs, newest first (the default).

    \b
    Examples:
      clworker jobs
      clworker jobs --status error --since 2h -f json
    """
    from clworker.core.models.requests import JobFilter

    since_ms = None if since is None else now_ms() - since
    found = queries.list_jobs(invocation.settings(), JobFilter(status, task, since_ms, worker, min(limit, sys.maxsize)))
    print_listing([asdict(job) for job in found], output_format, _COLUMNS)
