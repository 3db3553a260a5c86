"""Every command of the command line, found by walking the groups."""

from collections.abc import Iterator

import click

from clworker.cli import cli


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield each group and command with its path, ``clworker jobs list``."""
    yield from _below("clworker", cli)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _below(f"{path} {name}", inner)
