"""A task's parameters as options: ``--width 800`` stands for ``-p width=800``.

The schema is asked for, which starts a child process and takes about a second, only when
an option is given that is not the command's own, or help about a task.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from clworker.cli import suggest
from clworker.cli.invocation import Invocation
from clworker.core.app import setup
from clworker.core.errors import ClworkerError
from clworker.core.printable import printable

if TYPE_CHECKING:
    from clworker.core.tasks.plugins import Plugins

Parameter = dict[str, Any]
_LEARNED = "clworker.learned"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_METAVARS = {
    "string": "TEXT",
    "integer": "INTEGER",
    "number": "NUMBER",
    "boolean": "BOOLEAN",
    "array": "JSON",
    "object": "JSON",
}


class TaskOption(click.Option):
    """The option for one parameter of a task."""

    def __init__(self, number: int, parameter: Parameter) -> None:
        flag = _flag(parameter)
        # A variable of our own: the parameter's name may be that of another of the command's.
        variable = f"task_option_{number}"
        if parameter["type"] == "boolean":
            super().__init__([variable, f"{flag}/--no-{flag[2:]}"], default=None, hidden=True)
        else:
            super().__init__([variable, flag], multiple=True, metavar=_metavar(parameter), hidden=True)
        self.parameter = parameter

    def texts(self, value: Any) -> Iterator[str]:
        """Yield what ``-p`` would have to be given."""
        for one in value if self.multiple else [value]:
            if one is not None:
                yield f"{self.parameter['name']}={str(one).lower() if self.is_flag else one}"


@dataclass(frozen=True)
class Learned:
    """What discovery has told about the task: its parameters, and options for those that can have one."""

    plugins: "Plugins"
    task: str
    parameters: list[Parameter]
    options: list[TaskOption]

    def help_rows(self) -> Iterator[tuple[str, str]]:
        """Yield for each parameter how it is given and what is known about it."""
        options = {option.parameter["name"]: option for option in self.options}
        for parameter in self.parameters:
            option = options.get(parameter["name"])
            if option is None:
                given = f"-p {parameter['name']}={_metavar(parameter)}"
            elif option.is_flag:
                given = " / ".join([*option.opts, *option.secondary_opts])
            else:
                given = f"{option.opts[0]} {option.metavar}"
            yield printable(given), printable(_about(parameter, with_option=option is not None))


class TaskCommand(click.Command):
    """A command with the arguments ``task`` and ``inputs`` and the option ``-p``, here ``parameters``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            ctx.ignore_unknown_options = True  # a task's own options leave TASK and INPUT where they are
            return super().parse_args(ctx, args)
        task, has_unknown_options = self._first_look(ctx, args)
        asks_for_help = not set(args).isdisjoint(ctx.help_option_names)
        try:
            if task is not None and (has_unknown_options or asks_for_help):
                self._learn(ctx, task)
            return self._parse(ctx, args, task)
        except BaseException:
            if (learned := _learned(ctx)) is not None:
                learned.plugins.close()
            raise

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        learned = _learned(ctx)
        return [*super().get_params(ctx), *(learned.options if learned else ())]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [*super().shell_complete(ctx, incomplete), *suggest.task_options(ctx, incomplete)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if (learned := _learned(ctx)) is not None:
            with formatter.section(f"Parameters of {printable(learned.task)}"):
                formatter.write_dl(list(learned.help_rows()) or [("none", "")])
        super().format_options(ctx, formatter)

    def _first_look(self, ctx: click.Context, args: list[str]) -> tuple[str | None, bool]:
        """Return the task's name, if there is one, and whether options come after it that are not ours."""
        ctx.ignore_unknown_options = True
        given, *_ = self.make_parser(ctx).parse_args(list(args))
        ctx.ignore_unknown_options = False
        task, inputs = given.get("task"), given.get("inputs")
        if not isinstance(task, str) or task.startswith("-"):
            return None, False
        return task, isinstance(inputs, tuple) and any(text.startswith("--") for text in inputs)

    def _learn(self, ctx: click.Context, task: str) -> Learned:
        invocation = ctx.find_object(Invocation) or Invocation({})
        plugins = setup.open_plugins(invocation.task_settings())
        try:
            parameters = plugins.describe(task)
        except BaseException:
            plugins.close()
            raise
        taken = {spelling for param in super().get_params(ctx) for spelling in param.opts}
        options = []
        for number, parameter in enumerate(parameters):
            if not _NAME.fullmatch(parameter["name"]):
                continue
            option = TaskOption(number, parameter)
            spellings = {*option.opts, *option.secondary_opts}
            if spellings.isdisjoint(taken):
                taken |= spellings
                options.append(option)
        ctx.meta[_LEARNED] = learned = Learned(plugins, task, parameters, options)
        ctx.call_on_close(plugins.close)
        return learned

    def _parse(self, ctx: click.Context, args: list[str], task: str | None) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as fault:
            if task is not None:
                raise
            message = f"{fault.message.rstrip('.')}; the options of a task follow its name"
            raise click.NoSuchOption(fault.option_name, message, ctx=ctx) from None
        except click.BadParameter as fault:
            if task is None or not isinstance(fault.param, click.Option):
                raise
            message = fault.message.rstrip(".") + self._remark_on_clash(ctx, task, fault.param)
            raise click.BadParameter(message, ctx, fault.param, fault.param_hint) from None
        learned = _learned(ctx)
        for option in learned.options if learned else ():
            ctx.params["parameters"] += tuple(option.texts(ctx.params.pop(option.name)))
        return rest

    def _remark_on_clash(self, ctx: click.Context, task: str, option: click.Option) -> str:
        """Say how the task's parameter is given whose option would be this one of ours."""
        learned = _learned(ctx)
        if learned is None:
            with suppress(ClworkerError):
                learned = self._learn(ctx, task)
        for parameter in learned.parameters if learned else ():
            if _flag(parameter) in option.opts:
                return f"; the task's own parameter is given with -p {parameter['name']}=VALUE"
        return ""


def plugins_at_hand(ctx: click.Context) -> "Plugins | None":
    """Return the plugins if the command's options had to be learned from them; they are open still."""
    learned = _learned(ctx)
    return learned.plugins if learned else None


def _learned(ctx: click.Context) -> Learned | None:
    found: Learned | None = ctx.meta.get(_LEARNED)
    return found


def _flag(parameter: Parameter) -> str:
    return f"--{parameter['name'].replace('_', '-')}"


def _metavar(parameter: Parameter) -> str:
    return _METAVARS.get(parameter["type"], "VALUE")


def _about(parameter: Parameter, with_option: bool) -> str:
    default = parameter["default"]
    shown = default if isinstance(default, str) and default else json.dumps(default, ensure_ascii=False)
    facts = [
        "required" if parameter["required"] else "optional" if default is None else f"default: {shown}",
        parameter["unit"] and f"in {parameter['unit']}",
        parameter["range"],
    ]
    about = f"{parameter['meaning'].strip().rstrip('.')}. [{'; '.join(filter(None, facts))}]".removeprefix(". ")
    has_name = _NAME.fullmatch(parameter["name"])
    return about if with_option or not has_name else f"{about} ({_flag(parameter)} is another option)"
