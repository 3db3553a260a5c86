"""The man pages and completion scripts: what the program says of itself now, and clean by the tools of their kinds."""

import subprocess
from pathlib import Path

import pytest

from tests.support.commands import all_commands
from tests.support.shells import need
from tests.support.waiting import TIMEOUT
from tools.docs import ROOT, documents, stray
from tools.roff import literal, prose

PAGES = sorted(path for path in documents() if path.parent == Path("man"))
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"]


def check(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr) == (0, ""), done


def test_files_are_as_the_program_is_now() -> None:
    old = [
        path for path, text in documents().items() if not (ROOT / path).exists() or (ROOT / path).read_text() != text
    ]
    assert (old, stray()) == ([], []), "say `make docs` and commit what it writes"


def test_every_command_has_a_page_with_every_section() -> None:
    assert {page.stem for page in PAGES} == {path.replace(" ", "-") for path, _ in all_commands()}
    for page in PAGES:
        lines = documents()[page].splitlines()
        assert [line[4:] for line in lines if line.startswith(".SH ") and line != ".SH COMMANDS"] == SECTIONS
        assert all(line for line in lines)


def test_pages_are_clean_to_mandoc() -> None:
    done = subprocess.run(
        [need("mandoc"), "-T", "lint", "-W", "warning", *PAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pages_are_clean_to_groff() -> None:
    need("groff")
    for page in PAGES:
        check("groff", "-ww", "-man", "-Tutf8", "-z", page)


@pytest.mark.parametrize(
    ("shell", "script"), [("bash", "clworker.bash"), ("zsh", "_clworker"), ("fish", "clworker.fish")]
)
def test_scripts_are_right_to_their_shells(shell: str, script: str) -> None:
    check(need(shell), "-n", Path("completions", script))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (".hidden", r"\&.hidden"),
        ("'a' --b", r"\(aqa\(aq \-\-b"),
        (r"a\nb", r"a\enb"),
        ("worker-1 ~^`…", r"worker\-1 \(ti\(ha\(ga\&..."),
    ],
)
def test_roff_escapes_what_would_be_an_order(text: str, escaped: str) -> None:
    assert literal(text) == escaped


def test_hyphens_of_prose_stay_hyphens_and_those_of_names_are_minuses() -> None:
    written = prose("A write-ahead log, --time-limit and 'list-tasks --strict', list-tasks.", frozenset({"list-tasks"}))
    assert written == r"A write-ahead log, \-\-time\-limit and \(aqlist\-tasks \-\-strict\(aq, list\-tasks."


def test_the_manual_shows_what_was_written() -> None:
    shown = subprocess.run(
        [need("groff"), "-man", "-Tascii", "-P-cbou", "man/clworker-once.1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    ).stdout
    assert "clworker once --tasks image_resize --time-limit 300 -f json" in shown
    assert "-t, --tasks A,B" in shown
    assert "CLWORKER_TIME_LIMIT" in shown
