"""``clworker run``: the worker that stays."""

import click

from clworker.cli.invocation import Invocation
from clworker.cli.options import (
    joined_folders,
    limit_options,
    mqtt_options,
    tasks_option,
    worker_id_option,
)
from clworker.core.app import operation


@click.command()
@worker_id_option
@tasks_option
@click.option("-c", "--concurrency", metavar="N", help="Jobs at a time. [CLWORKER_CONCURRENCY; 1]")
@click.option(
    "--poll-interval", metavar="SECONDS", help="Seconds between looks at an idle queue. [WORKER_POLL_INTERVAL; 5]"
)
@limit_options
@click.option(
    "--max-jobs-per-slot",
    metavar="N",
    help="Replace a slot's process after N jobs. [CLWORKER_MAX_JOBS_PER_SLOT; never]",
)
@click.option(
    "--max-memory-per-slot",
    metavar="MIB",
    help="Replace a slot's process, between jobs, above so many MiB. [CLWORKER_MAX_MEMORY_PER_SLOT; never]",
)
@click.option(
    "--drain-timeout",
    metavar="SECONDS",
    help="Seconds that running jobs get to end when the worker is stopped. [CLWORKER_DRAIN_TIMEOUT; 30]",
)
@click.option(
    "--takeover",
    is_flag=True,
    help="End the worker that now has this name and return its jobs. [CLWORKER_TAKEOVER; off]",
)
@click.option(
    "--skip-missing-inputs",
    is_flag=True,
    help="Leave jobs whose input is not seen here to other hosts. [CLWORKER_SKIP_MISSING_INPUTS; off]",
)
@click.option(
    "--http",
    metavar="ADDR:PORT",
    help="Serve health, metrics and a live page; a port alone is for this machine only. [CLWORKER_HTTP; off]",
)
@mqtt_options
@click.pass_obj
def run(
    invocation: Invocation,
    /,
    takeover: bool,
    skip_missing_inputs: bool,
    allow_dir: tuple[str, ...],
    **options: str | None,
) -> None:
    """Run jobs until told to stop.

    Takes jobs as soon as they are queued, shows itself to the other programs over MQTT, and
    looks after the jobs of workers that died. At the first SIGINT or SIGTERM it claims
    nothing more and lets running jobs end; at a second one it returns them to the queue.

    \b
    Examples:
      clworker run --worker-id worker-1
      clworker run -w worker-2 -c 4 --tasks image_resize --time-limit 600
      clworker run --http 9464
    """
    settings = invocation.settings(
        takeover="1" if takeover else None,
        skip_missing_inputs="1" if skip_missing_inputs else None,
        allow_dir=joined_folders(allow_dir),
        **options,
    )
    operation.run_worker(settings)
