"""Option decorators that commands share.

Values of settings stay text here: ``core.settings`` checks all of them together and reports
every fault at once.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from clworker.cli import suggest

Command = TypeVar("Command", bound=Callable[..., Any])
FORMATS = ("table", "json", "jsonl", "csv")
STATUSES = ("queued", "processing", "completed", "error")
"""The words of ``ComputeJobStatus``; to import that would cost a fifth of the time that TAB may take."""


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
    """An option whose variable is ``CLWORKER_`` and its name; the option wins.

    Its help ends as that of a setting does: with the variable, the default and the range.
    """

    def __init__(self, param_decls: Sequence[str], **attributes: Any) -> None:
        super().__init__(param_decls, **attributes)
        name = max((opt for opt in self.opts if opt.startswith("--")), key=len, default=None)
        if name is None:
            return
        self.envvar = f"CLWORKER_{name.removeprefix('--').replace('-', '_').upper()}"
        facts = filter(None, [self.envvar, _shown_default(self, attributes.get("default")), _shown_range(self.type)])
        self.help = f"{self.help or ''} [{'; '.join(facts)}]"
        if isinstance(self.type, click.IntRange):
            self.metavar = self.metavar or "N"

    def get_help_extra(self, ctx: click.Context) -> Any:
        return {}  # it is all in the help already

    def get_error_hint(self, ctx: click.Context | None) -> str:
        if ctx is not None and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            return f"the variable {self.envvar}"
        return super().get_error_hint(ctx)


def _shown_default(option: click.Option, default: object) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    if option.required:
        return "required"
    if option.is_flag:
        return "on" if default else "off"
    return "none" if default is None else str(default)


def _shown_range(kind: click.ParamType[Any]) -> str | None:
    if not isinstance(kind, click.IntRange) or kind.min is None:
        return None
    return f"{kind.min} or more" if kind.max is None else f"{kind.min} to {kind.max}"


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
        metavar="FORMAT",
        default="table",
        help="How the data is printed: table, json, jsonl or csv.",
    )(command)


def selection_options(command: Command) -> Command:
    """Add which jobs are meant: ``--status``, ``--task`` and ``--since``, an age in milliseconds."""
    for option in (
        own_option("--since", type=Age(), metavar="AGE", help="Only jobs younger than 90s, 15m, 2h, 30d or 1w."),
        own_option(
            "--task", type=Text(), metavar="TASK", shell_complete=suggest.task_types, help="Only this task type."
        ),
        own_option(
            "--status",
            type=click.Choice(STATUSES),
            metavar="STATUS",
            help="Only jobs that are queued, processing, completed or error.",
        ),
    ):
        command = option(command)
    return command


def worker_id_option(command: Command) -> Command:
    """Add ``-w/--worker-id``."""
    return click.option(
        "-w",
        "--worker-id",
        metavar="NAME",
        shell_complete=suggest.worker_ids,
        help="Name of this worker. [WORKER_ID; worker-default]",
    )(command)


def tasks_option(command: Command) -> Command:
    """Add ``-t/--tasks``."""
    return click.option(
        "-t",
        "--tasks",
        metavar="A,B",
        shell_complete=suggest.task_list,
        help="Task types to run, separated by commas. [WORKER_SUPPORTED_TASKS; every ready one]",
    )(command)


def limit_options(command: Command) -> Command:
    """Add the limits that a running job is held to."""
    for option in (
        click.option(
            "--allow-dir",
            metavar="DIR",
            multiple=True,
            shell_complete=suggest.folders,
            help="A further folder that jobs may read and write; may be repeated. [CLWORKER_ALLOW_DIR; none]",
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
        _file_option("--mqtt-key", "Key of the client certificate. [CLWORKER_MQTT_KEY; none]"),
        _file_option("--mqtt-cert", "Client certificate for TLS. [CLWORKER_MQTT_CERT; none]"),
        _file_option("--mqtt-ca", "CA of the broker; switches TLS on. [CLWORKER_MQTT_CA; none]"),
        _file_option(
            "--mqtt-password-file",
            "File whose first line is the password. [CLWORKER_MQTT_PASSWORD_FILE, CLWORKER_MQTT_PASSWORD; none]",
        ),
        click.option("--mqtt-user", metavar="NAME", help="User name at the broker. [CLWORKER_MQTT_USER; none]"),
    ):
        command = option(command)
    return command


def _file_option(name: str, meaning: str) -> Callable[[Command], Command]:
    return click.option(name, metavar="FILE", shell_complete=suggest.files, help=meaning)


def joined_folders(folders: Sequence[str]) -> str | None:
    """Turn the values of a repeated folder option into the text of its variable."""
    return os.pathsep.join(folders) or None
