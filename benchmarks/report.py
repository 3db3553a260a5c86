"""The report: one table for people, and one JSON file with every sample."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from tabulate import tabulate

from benchmarks.results import Result

_HEADERS = ("section", "what", "case", "n", "median", "min to max", "unit", "compared", "under")
_WIDTHS = (None, 20, 22, None, None, None, None, 24, 46)
_ALIGNMENT = ("left", "left", "left", "right", "right", "right", "left", "left", "left")


def table(results: Sequence[Result]) -> str:
    """Return the table of all results; what could not be measured has its reason in place of figures."""
    rows = [_row(result) for result in results]
    for previous, row in reversed(list(pairwise(rows))):
        if row[0] == previous[0]:
            row[0] = ""
    return tabulate(
        rows, _HEADERS, tablefmt="simple", disable_numparse=True, maxcolwidths=list(_WIDTHS), colalign=_ALIGNMENT
    )


def facts_text(facts: Mapping[str, str]) -> str:
    """Return facts about the machine, one a line."""
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def write_json(path: Path, facts: Mapping[str, str], results: Sequence[Result]) -> None:
    """Write everything that was found to a file."""
    content = {"machine": dict(facts), "results": [result.as_json() for result in results]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def _row(result: Result) -> list[str]:
    median, spread = result.median, result.spread
    under = "; ".join(filter(None, (result.settings, result.note)))
    if median is None or spread is None:
        return [result.section, result.subject, result.case, "0", "-", "", "", "", result.note]
    return [
        result.section,
        result.subject,
        result.case,
        str(len(result.samples)),
        number(median),
        f"{number(spread[0])} to {number(spread[1])}",
        result.unit,
        ", ".join(map(str, result.ratios)),
        under,
    ]


def number(value: float) -> str:
    """Return a figure as short as its noise allows."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
