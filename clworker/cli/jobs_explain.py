"""``clworker jobs explain``: why a job is where it is."""

from dataclasses import asdict

import click

from clworker.cli import suggest
from clworker.cli.invocation import Invocation
from clworker.cli.options import Text, format_option, mqtt_options
from clworker.cli.render import print_thing
from clworker.core.app import queries
from clworker.core.printable import printable


@click.command()
@click.argument("job_id", type=Text(), metavar="ID", shell_complete=suggest.job_ids())
@mqtt_options
@format_option
@click.pass_obj
def explain(invocation: Invocation, /, job_id: str, output_format: str, **options: str | None) -> None:
    """Say why a job is where it is.

    One plain answer first, then what to do and what the answer rests on: attempts, who holds
    the job, workers as database and broker know them, the queue before it, the plugin here.

    \b
    Examples:
      clworker jobs explain 3f2a
      clworker jobs explain 3f2a -f json
    """
    found = queries.explain_job(invocation.settings(**options), job_id)
    if output_format != "table":
        print_thing(asdict(found), output_format)
        return
    click.echo(printable(found.answer))
    if found.advice is not None:
        click.echo(printable(f"What to do: {found.advice}"))
    for evidence in found.evidence:
        click.echo(printable(f"  - {evidence.text}"))
