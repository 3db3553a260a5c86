"""``clworker list-tasks``: what the installed plugins provide."""

from dataclasses import asdict

import click

from clworker.cli import exits, suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import format_option, own_option
from clworker.cli.render import print_listing
from clworker.core.app import queries

_COLUMNS = {
    "TASK": "task_type",
    "STATE": "state",
    "DISTRIBUTION": "distribution",
    "VERSION": "version",
    "REASON": "reason",
}
_PARAMETER_COLUMNS = {
    "PARAMETER": "name",
    "TYPE": "type",
    "REQUIRED": "required",
    "DEFAULT": "default",
    "UNIT": "unit",
    "RANGE": "range",
    "MEANING": "meaning",
}


@click.command("list-tasks")
@click.argument("task", required=False, shell_complete=suggest.task_types)
@own_option("--strict", is_flag=True, help="Exit with 1 unless every task is ready.")
@format_option
@click.pass_obj
def list_tasks(invocation: Invocation, task: str | None, strict: bool, output_format: str) -> int:
    """List the task plugins that are installed.

    A plugin that cannot be imported is listed as broken, with the reason; one whose task
    type another plugin provides first as shadowed. With TASK, list its parameters, as
    'clworker jobs submit TASK --help' does with the options that set them.

    \b
    Examples:
      clworker list-tasks --strict
      clworker list-tasks image_resize
    """
    settings = invocation.task_settings()
    if task is not None:
        print_listing(queries.describe_task(settings, task), output_format, _PARAMETER_COLUMNS)
        return exits.DONE
    tasks = queries.list_tasks(settings)
    print_listing([asdict(found) for found in tasks], output_format, _COLUMNS)
    all_ready = all(found.state == "ready" for found in tasks)
    return exits.NOT_COMPLETED if strict and not all_ready else exits.DONE
