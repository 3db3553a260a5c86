"""Draws the README's session of daily use as a terminal window: ``docs/terminal.svg``, out of its real output."""

from html import escape

from tools.console import README, ROOT, Session, sessions

TARGET = ROOT / "docs" / "terminal.svg"
_COLUMNS = 126
_LINE, _CHARACTER, _TOP, _LEFT = 18, 7.8, 52, 18
_SHOWN = ("run", "jobs submit image_conversion", "workers", "jobs explain", "jobs stats")
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
     role="img" aria-labelledby="title desc">
  <title id="title">clworker in a terminal</title>
  <desc id="desc">{described}</desc>
  <style>
    .window {{ fill: #ffffff; stroke: #8c959f }}
    .bar {{ fill: #d0d7de }}
    text {{ font: 13px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre; fill: #24292f }}
    .command {{ font-weight: 600; fill: #0550ae }}
    @media (prefers-color-scheme: dark) {{
      .window {{ fill: #0d1117; stroke: #6e7681 }}
      .bar {{ fill: #30363d }}
      text {{ fill: #e6edf3 }}
      .command {{ fill: #79c0ff }}
    }}
  </style>
  <rect class="window" x="1" y="1" width="{inner_width}" height="{inner_height}" rx="8"/>
  <circle class="bar" cx="22" cy="20" r="6"/>
  <circle class="bar" cx="42" cy="20" r="6"/>
  <circle class="bar" cx="62" cy="20" r="6"/>
"""


def draw(session: Session) -> str:
    """Return the session as a picture; lines break where a terminal would break them."""
    rows: list[tuple[str, str]] = []
    for command, output in zip(session.commands, session.outputs, strict=True):
        if command.removeprefix("clworker ").startswith(_SHOWN):
            rows += [("command", f"$ {command}"), *(("output", row) for row in _rows(output))]
    width, height = round(2 * _LEFT + _COLUMNS * _CHARACTER), _TOP + _LINE * len(rows)
    commands = "; ".join(row[2:] for kind, row in rows if kind == "command")
    head = _HEAD.format(
        width=width,
        height=height,
        inner_width=width - 2,
        inner_height=height - 2,
        described=escape(f"The commands {commands}, each with what it prints."),
    )
    lines = [
        f'  <text class="{kind}" x="{_LEFT}" y="{_TOP + _LINE * number}" xml:space="preserve"'
        f' textLength="{len(row) * _CHARACTER:g}">{escape(row)}</text>\n'
        for number, (kind, row) in enumerate(rows)
        if row
    ]
    return f"{head}{''.join(lines)}</svg>\n"


def _rows(output: str) -> list[str]:
    """Break lines at the window's edge."""
    return [
        line[start : start + _COLUMNS]
        for line in output.splitlines()
        for start in range(0, max(1, len(line)), _COLUMNS)
    ]


def main() -> None:
    """Draw the last session of the README."""
    *_, daily = sessions(README.read_text())
    TARGET.write_text(draw(daily))


if __name__ == "__main__":
    main()
