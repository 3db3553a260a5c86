"""``clworker once``: one job, for cron and timers."""

import click

from clworker.cli import exits
from clworker.cli.invocation import Invocation
from clworker.cli.options import (
    format_option,
    joined_folders,
    limit_options,
    own_option,
    tasks_option,
    worker_id_option,
)
from clworker.cli.results import exit_code_of, print_result
from clworker.core.app import operation


@click.command()
@worker_id_option
@tasks_option
@limit_options
@own_option("--fail-when-empty", is_flag=True, help="Exit with 3 when no job waited.")
@format_option
@click.pass_obj
def once(
    invocation: Invocation,
    worker_id: str | None,
    tasks: str | None,
    time_limit: str | None,
    memory_limit: str | None,
    allow_dir: tuple[str, ...],
    fail_when_empty: bool,
    output_format: str,
) -> int:
    """Claim one job, run it and exit.

    Prints one line for the job, and nothing when none waited. Exits with 1 when the job
    did not complete. Stopped by a signal, the job goes back to the queue.

    \b
    Examples:
      clworker once
      clworker once --tasks image_resize --time-limit 300 -f json
    """
    settings = invocation.settings(
        worker_id=worker_id,
        tasks=tasks,
        time_limit=time_limit,
        memory_limit=memory_limit,
        allow_dir=joined_folders(allow_dir),
    )
    job = operation.run_once(settings)
    if job is None:
        return exits.NOTHING_WAITED if fail_when_empty else exits.DONE
    print_result(job, output_format)
    return exit_code_of(job)
