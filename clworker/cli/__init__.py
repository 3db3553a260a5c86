"""The command line. Commands load lazily, so that ``--help`` and TAB stay fast."""

import click

from clworker import __version__
from clworker.cli import shells, suggest
from clworker.cli.exits import run_to_exit_code
from clworker.cli.invocation import Invocation
from clworker.cli.lazy import LazyGroup

_COMMANDS = {
    "clear-capability": (
        "clworker.cli.clear_capability:clear_capability",
        "Remove stale retained capability messages from the broker.",
    ),
    "doctor": ("clworker.cli.doctor:doctor", "Check everything that a worker needs, and say what to do."),
    "jobs": ("clworker.cli.jobs:jobs", "Query the jobs and take care of them."),
    "list-tasks": ("clworker.cli.list_tasks:list_tasks", "List the task plugins that are installed."),
    "run": ("clworker.cli.run:run", "Run jobs until told to stop."),
    "once": ("clworker.cli.once:once", "Claim one job, run it and exit."),
    "workers": ("clworker.cli.workers:workers", "List the workers, and where broker and database disagree."),
}
_EXAMPLES = """\b
Examples:
  clworker help jobs submit
  clworker --log-format console run
"""


@click.group(
    cls=LazyGroup,
    commands_at=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXAMPLES,
)
@click.version_option(__version__, prog_name="clworker")
@click.option(
    "--log-level",
    metavar="LEVEL",
    shell_complete=suggest.words("DEBUG", "INFO", "WARNING", "ERROR"),
    help="DEBUG, INFO, WARNING or ERROR. [LOG_LEVEL; INFO]",
)
@click.option(
    "--log-format",
    metavar="FORMAT",
    shell_complete=suggest.words("json", "console"),
    help="json, or console for people. [CLWORKER_LOG_FORMAT; json]",
)
@click.pass_context
def cli(context: click.Context, log_level: str | None, log_format: str | None) -> None:
    """Run jobs of the CL media server, and look after them.

    Data goes to stdout; log lines, errors and progress go to stderr. The options below come
    before the command. In brackets, here and everywhere: the variable that an option wins
    over, and the default.
    """
    context.obj = Invocation({"log_level": log_level, "log_format": log_format})


def main() -> None:
    """Run the command line and exit with its code."""
    shells.register()
    raise SystemExit(run_to_exit_code(cli))
