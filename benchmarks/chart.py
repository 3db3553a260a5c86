"""The picture for the README: bars of jobs a second, in SVG, readable on white and on black."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks.report import number
from benchmarks.results import Result

_WIDTH = 760
_NAMES = 150
"""Width of the column of names, and below it of the column of figures."""
_FIGURES = 170
_BAR = 16
_GAP = 14
_TOP = 66
_BOTTOM = 34

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.ours0 { fill: #0969da } .ours1 { fill: #54aeff }
.theirs0 { fill: #6e7781 } .theirs1 { fill: #afb8c1 }
.spread { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 }
  .ours0 { fill: #4493f8 } .ours1 { fill: #1f5fb0 }
  .theirs0 { fill: #8b949e } .theirs1 { fill: #565e67 }
  .spread { stroke: #f0f6fc }
}"""


def svg(title: str, footnote: str, results: Sequence[Result]) -> str:
    """Draw a bar for each result that has figures, grouped by subject, with its spread as a line."""
    drawn = [result for result in results if result.median is not None]
    groups: dict[str, list[Result]] = {}
    for result in drawn:
        groups.setdefault(result.subject, []).append(result)
    cases = list(dict.fromkeys(result.case for result in drawn))
    longest = max((max(result.samples) for result in drawn), default=1.0)
    scale = (_WIDTH - _NAMES - _FIGURES) / longest
    parts = [_text(16, 28, title, "title"), *_legend(cases)]
    y = _TOP
    for subject, bars in groups.items():
        parts.append(_text(16, y + len(bars) * _BAR / 2 + 4, subject))
        for result in bars:
            parts += _bar(result, y, scale, cases.index(result.case))
            y += _BAR
        y += _GAP
    parts.append(_text(16, y + 14, footnote, "small"))
    height = y + _BOTTOM
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            *parts,
            "</svg>",
            "",
        ]
    )


def write(path: Path, machine: Mapping[str, str], results: Sequence[Result]) -> None:
    """Write the picture of the queue's results, with the machine below it."""
    footnote = ", ".join(machine[name] for name in ("processor", "python") if name in machine)
    path.write_text(svg("No-op jobs a second (median; the line is the spread)", footnote, results))


def _bar(result: Result, y: float, scale: float, shade: int) -> list[str]:
    median, spread = result.median or 0.0, result.spread or (0.0, 0.0)
    side = "ours" if result.subject.startswith("clworker") else "theirs"
    low, high = (_NAMES + value * scale for value in spread)
    middle = y + _BAR / 2
    return [
        f'<rect x="{_NAMES}" y="{y:.1f}" width="{median * scale:.1f}" height="{_BAR - 2}" class="{side}{shade % 2}"/>',
        f'<line x1="{low:.1f}" y1="{middle:.1f}" x2="{high:.1f}" y2="{middle:.1f}" class="spread"/>',
        _text(max(high, _NAMES + median * scale) + 8, middle + 4, f"{number(median)}, {result.case}"),
    ]


def _legend(cases: Sequence[str]) -> list[str]:
    parts = []
    for shade, case in enumerate(cases):
        x = 16 + 150 * shade
        parts.append(f'<rect x="{x}" y="40" width="12" height="12" class="theirs{shade % 2}"/>')
        parts.append(_text(x + 18, 50, case, "small"))
    return parts


def _text(x: float, y: float, content: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attribute}>{escape(content)}</text>'
