"""The only printer: tables, JSON, JSON lines and CSV."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from clworker.core.printable import printable

_NOT_ASCII = re.compile(r"[^\x00-\x7e]")

Row = Mapping[str, Any]
Columns = Mapping[str, str | Callable[[Row], Any]]
"""A table's columns: by heading, a field's name or what to work out from the row."""


def print_listing(rows: Sequence[Row], output_format: str, columns: Columns) -> None:
    """Print rows: a table has ``columns``, the other formats every field of every row."""
    if output_format == "json":
        click.echo(_json(list(map(dict, rows)), indent=2))
    elif output_format == "jsonl":
        for row in rows:
            click.echo(_json(dict(row)))
    elif output_format == "csv":
        _print_csv(rows)
    else:
        cells = [[row.get(of) if isinstance(of, str) else of(row) for of in columns.values()] for row in rows]
        click.echo(_table(cells, list(columns)))


def print_lines(rows: Iterable[Row]) -> None:
    """Print rows that come one by one as JSON lines, without the cost of a flush for each."""
    for row in rows:
        sys.stdout.write(f"{_json(dict(row))}\n")
    sys.stdout.flush()


def print_thing(thing: Row, output_format: str) -> None:
    """Print one thing as an object, a CSV row with its heading, or a table of two columns."""
    if output_format == "json":
        click.echo(_json(dict(thing), indent=2))
    elif output_format == "jsonl":
        click.echo(_json(dict(thing)))
    elif output_format == "csv":
        _print_csv([thing])
    else:
        click.echo(_table([[name, value] for name, value in thing.items()], []))


def shortened(text: str | None, longest: int) -> str | None:
    """Cut a text that would break the table."""
    return text if text is None or len(text) <= longest else text[: longest - 1] + "…"


def _print_csv(rows: Sequence[Row]) -> None:
    if not rows:
        return
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: None if value is None else _text(value) for name, value in row.items()})


def _table(rows: Sequence[Sequence[Any]], headings: Sequence[str]) -> str:
    from tabulate import tabulate  # 70 to 110 ms that the other formats do not pay

    shown = [[_cell(value) for value in row] for row in rows]
    return tabulate(shown, headers=headings, tablefmt="simple" if headings else "plain", disable_numparse=True)


def _cell(value: Any) -> str:
    return "-" if value is None else _text(value)


def _text(value: Any) -> str:
    """Say a value in one line, which no terminal takes for orders: CSV too is looked at on one."""
    return printable(_json(value) if _is_nested(value) else str(value))


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple, bool))


def _json(value: Any, indent: int | None = None) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        # NaN and infinity, which params of others may hold, are no JSON: null stands for them.
        return _json(json.loads(json.dumps(value), parse_constant=lambda _constant: None), indent)
    # What JSON does not ask to be escaped, but would steer a terminal.
    text = _NOT_ASCII.sub(_escaped_unless_printable, text)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def _escaped_unless_printable(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
