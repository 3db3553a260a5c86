"""``clworker jobs submit``: from files to a queued job, and on request to its end."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from clworker.cli import exits, suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import format_option, own_option
from clworker.cli.render import print_thing
from clworker.cli.results import exit_code_of, print_result
from clworker.cli.task_options import TaskCommand, plugins_at_hand
from clworker.core.app import changes
from clworker.core.errors import Interrupted, ParamsRefused
from clworker.core.models.jobs import ComputeJob
from clworker.core.models.requests import JobRequest

OnProgress = Callable[[int], None]


@click.command(cls=TaskCommand)
@click.argument("task", metavar="TASK", shell_complete=suggest.task_types)
@click.argument("inputs", metavar="INPUT...", nargs=-1, type=click.Path(path_type=Path))
@own_option(
    "-p",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    shell_complete=suggest.task_parameters,
    help="A parameter of the task; may be repeated.",
)
@own_option(
    "--output-dir",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    show_default="the job's own",
    help="Where outputs go; a worker must be allowed to write there.",
)
@own_option("--priority", type=click.IntRange(0, 10), default=5, help="Higher is claimed first.")
@own_option("--wait", is_flag=True, help="Wait for a worker to end the job, and exit as 'once' would.")
@format_option
@click.pass_context
def submit(
    context: click.Context,
    task: str,
    inputs: tuple[Path, ...],
    parameters: tuple[str, ...],
    output_dir: Path | None,
    priority: int,
    wait: bool,
    output_format: str,
) -> int:
    """Queue a job for some files.

    Parameters are checked against the task's schema, and the inputs copied into the job's
    folder, before the job is queued. Prints the job's id. A task's parameters are options
    too: 'clworker jobs submit TASK --help' shows them. One whose name is taken by an option
    below is given with -p.

    \b
    Examples:
      clworker jobs submit image_resize photo.jpg --width 800 --height 600
      clworker jobs submit image_conversion *.png -p format=webp --wait
    """
    invocation = context.find_object(Invocation) or Invocation({})
    settings = invocation.settings()
    folder = None if output_dir is None else Path(output_dir).absolute()
    request = JobRequest(task, inputs, _parsed(parameters), folder, priority)

    queued: list[ComputeJob] = []

    def print_queued(job: ComputeJob) -> None:
        queued.append(job)
        if output_format == "table":
            click.echo(job.job_id)
        else:
            print_thing(asdict(job), output_format)

    try:
        job = changes.submit_job(settings, request, print_queued, plugins_at_hand(context))
        if not wait:
            return exits.DONE
        with _progress_bar(job) as on_progress:
            job = changes.wait_for_job(settings, job.job_id, on_progress)
    except ParamsRefused as refusal:
        raise ParamsRefused(f"{refusal}; see 'clworker jobs submit {task} --help'") from refusal
    except KeyboardInterrupt:
        if not queued:
            raise
        raise Interrupted(signal.SIGINT, f"interrupted, but job {queued[0].job_id} is queued and goes on") from None
    print_result(job, output_format)
    return exit_code_of(job)


def _parsed(parameters: tuple[str, ...]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for parameter in parameters:
        name, separator, text = parameter.partition("=")
        if not separator or not name:
            raise click.UsageError(f"-p {parameter!r} is not of the form name=value", click.get_current_context())
        if name in texts:
            raise click.UsageError(f"the parameter {name!r} is given twice", click.get_current_context())
        texts[name] = text
    return texts


def _show_nothing(_percent: int) -> None:
    pass


@contextmanager
def _progress_bar(job: ComputeJob) -> Iterator[OnProgress]:
    """Show a bar on stderr when it is a terminal, and nothing otherwise."""
    stderr = sys.stderr
    if not stderr.isatty():
        yield _show_nothing
        return
    with click.progressbar(length=100, label=job.task_type, file=stderr) as bar:

        def show(percent: int) -> None:
            if percent < bar.pos:  # the job is tried again, and update() knows only one direction
                bar.pos = percent
                bar.render_progress()
            else:
                bar.update(percent - bar.pos)

        yield show
