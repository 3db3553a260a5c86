"""Option decorators that commands share, and the way from options to settings.

Values stay text here: ``core.settings`` checks all of them together and reports every
fault at once.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from clworker.core.logs import prepare
from clworker.core.settings import Settings, TaskSettings, load_log_settings, load_settings, load_task_settings

Command = TypeVar("Command", bound=Callable[..., Any])
FORMATS = ("table", "json", "jsonl", "csv")


class Text(click.ParamType[str]):
    """Text that the database can hold; what is empty comes from an unset variable of a script."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not UTF-8", param, ctx)
        if not value:
            self.fail("it is empty", param, ctx)
        return value


@dataclass(frozen=True)
class Invocation:
    """The options given before the command."""

    options: dict[str, str | None]

    def settings(self, **options: str | None) -> Settings:
        """Load all settings and make logging ready. Raises SettingsError."""
        settings = load_settings({**self.options, **options})
        prepare(settings)
        return settings

    def task_settings(self) -> TaskSettings:
        """Load what task discovery needs. Raises SettingsError."""
        settings = load_task_settings(self.options)
        prepare(settings)
        return settings

    def prepare_logs(self) -> None:
        """Make logging ready for a command that needs no settings. Raises SettingsError."""
        prepare(load_log_settings(self.options))


def format_option(command: Command) -> Command:
    """Add ``-f/--format``."""
    return click.option(
        "-f",
        "--format",
        "output_format",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How the data is printed.",
    )(command)


def worker_id_option(command: Command) -> Command:
    """Add ``-w/--worker-id``."""
    return click.option("-w", "--worker-id", metavar="NAME", help="Name of this worker. [WORKER_ID; worker-default]")(
        command
    )


def tasks_option(command: Command) -> Command:
    """Add ``-t/--tasks``."""
    return click.option(
        "-t",
        "--tasks",
        metavar="A,B",
        help="Task types to run, separated by commas. [WORKER_SUPPORTED_TASKS; every ready one]",
    )(command)


def limit_options(command: Command) -> Command:
    """Add the limits that a running job is held to."""
    for option in (
        click.option(
            "--allow-dir",
            metavar="DIR",
            multiple=True,
            help="A further folder that jobs may read and write; may be repeated. [CLWORKER_ALLOW_DIR]",
        ),
        click.option(
            "--memory-limit",
            metavar="MIB",
            help="Memory that a job may use, in MiB. [CLWORKER_MEMORY_LIMIT; no limit]",
        ),
        click.option(
            "--time-limit",
            metavar="SECONDS",
            help="How long a job may run, in seconds. [CLWORKER_TIME_LIMIT; no limit]",
        ),
    ):
        command = option(command)
    return command


def joined_folders(folders: Sequence[str]) -> str | None:
    """Turn the values of a repeated folder option into the text of its variable."""
    return os.pathsep.join(folders) or None
