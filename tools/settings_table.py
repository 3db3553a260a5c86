"""The variables and their meanings, out of the README's table: they are told in one place."""

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


@dataclass(frozen=True)
class Variable:
    """One row: the variables that it is about, and its default and meaning."""

    names: str
    meaning: str


def variables() -> list[Variable]:
    """Return the rows of the README's table of settings."""
    section = README.read_text().partition("### Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) ?\| (.*?) \|$", section, re.MULTILINE)
    return [Variable(_plain(names), _plain(meaning)) for names, _options, meaning in rows]


def _plain(cell: str) -> str:
    return cell.replace("`", "")
