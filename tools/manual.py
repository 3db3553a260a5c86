"""The manual: one page for the program and for each command, out of what the commands say of themselves."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from clworker import __version__
from clworker.cli import cli, exits
from tools import settings_table
from tools.roff import bold, italic, literal, prose

REVISED = "2026-11-26"
"""When the form of the pages last changed; not the day of the build, which would make each build differ."""

_EXIT_CODES = {
    exits.DONE: "Done. Of once also: no job waited. Of run also: stopped by the first signal.",
    exits.NOT_COMPLETED: "The job ended otherwise than completed, or a check failed.",
    exits.USAGE: "Wrong option, setting, parameter or id; no ready task; the worker id is in use.",
    exits.NOTHING_WAITED: "Of once with --fail-when-empty: no job waited.",
    exits.UNAVAILABLE: "The database or the broker is out of reach.",
    exits.INTERNAL: "Internal error; the log has the traceback.",
    exits.SIGNALLED + 2: "Stopped by SIGINT; run only by a second one.",
    exits.SIGNALLED + 13: "The reader of the output has gone.",
    exits.SIGNALLED + 15: "Stopped by SIGTERM; run only by a second one.",
}
_FILES = {
    "$CL_SERVER_DIR/media_store.db": "The database, unless DATABASE_URL names another one.",
    "$CL_SERVER_DIR/clworker-locks/": "Lock files, beside the database: by them the others see that a worker is dead.",
    "$CL_SERVER_DIR/compute/jobs/ID/": "Inputs and outputs of a job, unless COMPUTE_STORAGE_DIR names another folder.",
}
_VARIABLE = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


@dataclass(frozen=True)
class Page:
    """A command and where it stands."""

    context: click.Context
    parents: tuple["Page", ...]

    @property
    def command(self) -> click.Command:
        return self.context.command

    @property
    def path(self) -> str:
        """What is typed: ``clworker jobs list``."""
        return self.context.command_path

    @property
    def name(self) -> str:
        """What the manual calls it: ``clworker-jobs-list``."""
        return self.path.replace(" ", "-")

    @property
    def purpose(self) -> str:
        return (self.command.help or "").splitlines()[0].rstrip(".")

    def children(self) -> list["Page"]:
        """Return the pages of its commands."""
        if not isinstance(self.command, click.Group):
            return []
        found = []
        for name in self.command.list_commands(self.context):
            inner = self.command.get_command(self.context, name)
            assert inner is not None
            found.append(Page(click.Context(inner, parent=self.context, info_name=name), (*self.parents, self)))
        return found


def pages() -> Iterator[Page]:
    """Yield the page of the program, then those of all commands."""
    todo = [Page(click.Context(cli, info_name="clworker", **cli.context_settings), ())]
    while todo:
        page = todo.pop(0)
        yield page
        todo.extend(page.children())


def manual() -> dict[str, str]:
    """Return the pages by the names of their files."""
    found = list(pages())
    names = frozenset(name for page in found for name in (page.name, page.context.info_name or ""))
    return {f"{page.name}.1": "\n".join([*_lines(page, names), ""]) for page in found}


def _lines(page: Page, names: frozenset[str]) -> Iterator[str]:
    yield '.\\" Made by "make docs" from what the program says of itself.'
    yield f'.TH {literal(page.name.upper())} 1 {REVISED} "clworker {__version__}" "clworker manual"'
    yield from (".SH NAME", rf"{literal(page.name)} \- {prose(_lower_first(page.purpose), names)}")
    yield from (".SH SYNOPSIS", _synopsis(page))
    yield from (".SH DESCRIPTION", *_description(page, names))
    if page.children():
        yield from (".SH COMMANDS", *_commands(page, names))
    yield from (".SH OPTIONS", *_options(page, names))
    if examples := _examples(page):
        yield from (".SH EXAMPLES", ".EX", *map(literal, examples), ".EE")
    yield from (".SH EXIT STATUS", *_exit_codes(page, names))
    yield from (".SH ENVIRONMENT", *_environment(page, names))
    yield from (
        ".SH FILES",
        *(line for path, what in _FILES.items() for line in _item(italic(path), prose(what, names))),
    )
    yield from (".SH SEE ALSO", _see_also(page))


def _synopsis(page: Page) -> str:
    pieces = page.command.collect_usage_pieces(page.context)
    return " ".join([bold(page.path), *map(italic, pieces)])


def _description(page: Page, names: frozenset[str]) -> Iterator[str]:
    text = (page.command.help or "").partition("\b")[0]
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".PP"
        yield prose(paragraph, names)


def _examples(page: Page) -> list[str]:
    """Return a command's own examples, and for a group the first of each of its commands."""
    if children := page.children():
        return [example for child in children for example in _examples(child)[: None if child.children() else 1]]
    text = (page.command.epilog or "").partition("Examples:")[2]
    return [line.strip() for line in text.splitlines() if line.strip()]


def _commands(page: Page, names: frozenset[str]) -> Iterator[str]:
    for child in page.children():
        yield from _item(
            bold(child.context.info_name or ""), f"{prose(child.purpose, names)}. See {_reference(child)}."
        )


def _options(page: Page, names: frozenset[str]) -> Iterator[str]:
    for parameter in page.command.get_params(page.context):
        record = parameter.get_help_record(page.context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield from _item(_declaration(record[0]), prose(record[1], names))
    if page.parents:
        yield from (".PP", f"The options of {_reference(page.parents[0])} stand before the command.")


def _declaration(declaration: str) -> str:
    """Set ``-f, --format [table|json]``: names in bold, what they take in italics."""
    parts = []
    for part in declaration.split(", "):
        name, _, metavar = part.partition(" ")
        parts.append(f"{bold(name)} {italic(metavar)}" if metavar else bold(name))
    return ", ".join(parts)


def _exit_codes(page: Page, names: frozenset[str]) -> Iterator[str]:
    may_wait = any(option.name == "fail_when_empty" for option in page.command.params)
    for code, meaning in _EXIT_CODES.items():
        if code != exits.NOTHING_WAITED or may_wait or not page.parents:
            yield from _item(bold(str(code)), prose(meaning, names))


def _environment(page: Page, names: frozenset[str]) -> Iterator[str]:
    if not page.parents:
        for variable in settings_table.variables():
            yield from _item(bold(variable.names), prose(variable.meaning, names))
        yield from _item(bold("NO_COLOR"), "Any value switches colours off.")
        return
    yield f"{_reference(page.parents[0])} lists all variables. An option wins over its variable."
    for option in page.command.params:
        if isinstance(option, click.Option) and (stand_ins := _variables_of(option, page.context)):
            yield from _item(bold(", ".join(stand_ins)), f"Stands in for {bold(max(option.opts, key=len))}.")


def _variables_of(option: click.Option, context: click.Context) -> list[str]:
    record = option.get_help_record(context)
    return _VARIABLE.findall(record[1].rpartition("[")[2]) if record else []


def _see_also(page: Page) -> str:
    siblings = page.parents[-1].children() if page.parents else []
    others = [other for other in siblings if other.name != page.name]
    return ",\n".join(map(_reference, [*page.parents, *page.children(), *others]))


def _reference(page: Page) -> str:
    return f"{bold(page.name)}(1)"


def _item(tag: str, text: str) -> tuple[str, ...]:
    return (".TP", tag, text)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
