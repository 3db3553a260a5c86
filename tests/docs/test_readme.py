"""The README and its companions: sessions that run, links that lead somewhere, tests that exist."""

import re
import sys
import xml.etree.ElementTree as ET
from itertools import zip_longest
from pathlib import Path

import pytest

from clworker.cli import exits
from tests.support.commands import all_commands
from tools import screenshot
from tools.console import README, ROOT, Shell, replay, same_but_for_what_varies, sessions

PAGES = [README, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = sorted((ROOT / "docs").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def test_the_sessions_show_what_the_program_says_now(tmp_path: Path) -> None:
    said = sessions(README.read_text())
    assert sum(len(session.commands) for session in said) > 12
    with Shell(tmp_path, f"{Path(sys.executable).parent}:/usr/bin:/bin") as shell:
        for before, now in zip_longest(said, replay(said, shell)):
            for command, old, new in zip(now.commands, before.outputs, now.outputs, strict=True):
                same = same_but_for_what_varies(old) == same_but_for_what_varies(new)
                assert same, f"{command}\nprints\n{new}\nsay `make readme`"


def test_the_screenshot_is_of_a_session() -> None:
    *_, daily = sessions(README.read_text())
    assert screenshot.TARGET.read_text() == screenshot.draw(daily), "say `make readme`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        path, _, heading = "".join(target).partition("#")
        if path.startswith("https:"):
            continue
        linked = page.parent / path if path else page
        assert linked.exists(), path
        assert not heading or heading in headings(linked.read_text()), f"{path}#{heading}"


def headings(text: str) -> set[str]:
    """The anchors that GitHub makes."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_file_that_a_page_names_is_there() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(r"`((?:clworker|tests|tools|docs|examples|benchmarks)/[\w./]*\w/?)`", page.read_text())
    }
    assert len(named) > 40
    assert [path for path in sorted(named) if not (ROOT / path[1]).exists()] == []


def test_each_invariant_names_its_tests() -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## Invariants")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", section, re.MULTILINE)
    assert [number for number, _ in rows] == [str(number) for number in range(1, 12)]
    for _, tests in rows:
        assert re.search(r"`tests/\w+/test_\w+\.py`", tests)


def test_the_readme_knows_every_command_and_exit_code() -> None:
    text = README.read_text()
    for path, _ in all_commands():
        assert path == "clworker" or f"{path.removesuffix(' list')}" in text, path
    codes = {exits.DONE, exits.NOT_COMPLETED, exits.USAGE, exits.UNAVAILABLE, exits.INTERNAL}
    assert codes <= set(map(int, re.findall(r"^\| (\d+)", text, re.MULTILINE)))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_pictures_can_be_read_by_everybody(picture: Path) -> None:
    """By a screen reader, in the dark, and without anything from elsewhere."""
    root = ET.parse(picture).getroot()
    assert root.get("role") == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and title.text and description is not None and description.text
    assert root.get("aria-labelledby", "").split() == [title.get("id"), description.get("id")]
    text = picture.read_text()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "prefers-color-scheme: dark" in text
