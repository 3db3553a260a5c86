"""A click group whose commands are imported when one is run or asked about, not before."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

_EXAMPLES = "\b\nExamples:\n"
Places = Mapping[str, tuple[str, str]]


class LazyGroup(click.Group):
    """Knows of each command where it is (``module:attribute``) and its purpose in one line.

    With ``default`` set, that command runs when none is named, and its options may follow
    the group's name.
    """

    def __init__(self, *args: Any, commands_at: Places, default: str | None = None, **kwargs: Any) -> None:
        # As help, a missing command would come out folded into one Error line.
        kwargs.setdefault("no_args_is_help", False)
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at
        self.default = default

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_at:
            return None
        module, _, attribute = self.commands_at[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        if command.help and not command.epilog:
            # Written in the docstring, shown last: right above the prompt at which they are typed.
            text, separator, examples = inspect.cleandoc(command.help).partition(_EXAMPLES)
            command.help, command.epilog = text.rstrip(), (separator + examples).rstrip() or None
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == ["help"]:  # as many programs have it: `help jobs submit` is `jobs submit --help`
            args = [*args[1:], "--help"]
        asks_for_help = bool(args) and args[0] in ctx.help_option_names
        # TAB after nothing but our name must still offer the commands beside the default one.
        names_none = args[0].startswith("-") if args else not ctx.resilient_parsing
        if self.default and names_none and not asks_for_help:
            args = [self.default, *args]
        if not args and not ctx.resilient_parsing:
            raise click.UsageError(f"Missing command; commands: {', '.join(self.list_commands(ctx))}", ctx)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands_at[name][1]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if ctx._protected_args:  # what stands there names no command, so nothing can follow
            return []
        found = [
            CompletionItem(name, help=purpose)
            for name, (_, purpose) in sorted(self.commands_at.items())
            if name.startswith(incomplete)
        ]
        default = self.get_command(ctx, self.default) if self.default else None
        options = click.Command.shell_complete(default or self, ctx, incomplete)
        return [*found, *options]
