"""What a person is told about a command line that is not understood: what is wrong, and what to type instead."""

from collections.abc import Iterator

import click

from clworker.core.suggestions import did_you_mean

_MOST_COMMANDS = 3


def with_hint(failure: click.ClickException) -> str:
    """Say the failure in one line, with what may have been meant and where help is."""
    context = getattr(failure, "ctx", None)
    if isinstance(failure, click.NoSuchOption) and context is not None:
        remedy = _remedy_for_option(context, failure.option_name)
        message = f"{failure.message.rstrip('.')}; {remedy}" if remedy else failure.message.rstrip(".")
    elif isinstance(failure, click.NoSuchCommand) and context is not None:
        message = f"no such command {failure.command_name!r}; {_remedy_for_command(context, failure.command_name)}"
    else:
        message = failure.format_message().rstrip(".")
    return f"{message}; see '{context.command_path} --help'" if context is not None else message


def _remedy_for_command(context: click.Context, name: str) -> str:
    """Say which command may have been meant: one of the group, else one of that name elsewhere."""
    assert isinstance(context.command, click.Group)
    known = context.command.list_commands(context)
    hint = did_you_mean(name, known)
    if hint is None:
        elsewhere = [path for path, _ in _commands_of(context.find_root()) if path.split()[-1] == name]
        hint = f"did you mean {elsewhere[0]!r}?" if elsewhere else None
    return hint or f"commands: {', '.join(known)}"


def _remedy_for_option(context: click.Context, option: str) -> str | None:
    """Say where an option belongs that stands in the wrong place, or which one is like it."""
    for above in _ancestors(context):
        if option in _options(above):
            rest = context.command_path.removeprefix(above.command_path).strip()
            return f"it comes before the command: '{above.command_path} {option} … {rest}'"
    paths = [path for path, options in _commands_of(context) if option in options]
    if paths:
        shown = ", ".join(f"'{path} {option}'" for path in paths[:_MOST_COMMANDS])
        return f"it comes after its command: {shown}"
    return did_you_mean(option, _options(context))


def _ancestors(context: click.Context) -> Iterator[click.Context]:
    while context.parent is not None:
        context = context.parent
        yield context


def _options(context: click.Context) -> set[str]:
    params = [param for param in context.command.get_params(context) if isinstance(param, click.Option)]
    return {spelling for param in params for spelling in (*param.opts, *param.secondary_opts)}


def _commands_of(context: click.Context) -> Iterator[tuple[str, set[str]]]:
    """Yield the commands that could have been named here, with their options."""
    group = context.command
    if not isinstance(group, click.Group):
        # The default command of a group, which need not have been named.
        if context.parent is None or context.info_name != getattr(context.parent.command, "default", None):
            return
        context = context.parent
        group = context.command
        assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            inner = click.Context(command, parent=context, info_name=name)
            yield inner.command_path, _options(inner)
            if isinstance(command, click.Group):
                yield from _commands_of(inner)
