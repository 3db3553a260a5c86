"""Option decorators that commands share.

Values of settings stay text here: ``core.settings`` checks all of them together and reports
every fault at once.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

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


class Age(click.ParamType[int]):
    """An age such as 2h, as milliseconds."""

    name = "age"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        from clworker.core import parsing

        try:
            return parsing.age_ms(value)
        except ValueError as fault:
            self.fail(f"{value!r} {fault}", param, ctx)


class _OptionWithVariable(click.Option):
    """An option whose variable is ``CLWORKER_`` and its name; the option wins."""

    def __init__(self, param_decls: Sequence[str], **attributes: Any) -> None:
        super().__init__(param_decls, **attributes)
        name = max((opt for opt in self.opts if opt.startswith("--")), key=len, default=None)
        if name is not None:
            self.envvar = f"CLWORKER_{name.removeprefix('--').replace('-', '_').upper()}"
            self.show_envvar = True


def own_option(*declarations: str, **attributes: Any) -> Callable[[Command], Command]:
    """Add an option that is clworker's own and no setting."""
    return click.option(*declarations, cls=_OptionWithVariable, **attributes)


def format_option(command: Command) -> Command:
    """Add ``-f/--format``."""
    return own_option(
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


def mqtt_options(command: Command) -> Command:
    """Add how to prove to the broker who we are. No secret is ever an argument's value."""
    for option in (
        click.option("--mqtt-key", metavar="FILE", help="Key of the client certificate. [CLWORKER_MQTT_KEY]"),
        click.option("--mqtt-cert", metavar="FILE", help="Client certificate for TLS. [CLWORKER_MQTT_CERT]"),
        click.option("--mqtt-ca", metavar="FILE", help="CA of the broker; switches TLS on. [CLWORKER_MQTT_CA]"),
        click.option(
            "--mqtt-password-file",
            metavar="FILE",
            help="File whose first line is the password. [CLWORKER_MQTT_PASSWORD_FILE, CLWORKER_MQTT_PASSWORD]",
        ),
        click.option("--mqtt-user", metavar="NAME", help="User name at the broker. [CLWORKER_MQTT_USER]"),
    ):
        command = option(command)
    return command


def joined_folders(folders: Sequence[str]) -> str | None:
    """Turn the values of a repeated folder option into the text of its variable."""
    return os.pathsep.join(folders) or None
