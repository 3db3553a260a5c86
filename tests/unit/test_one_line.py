"""Error messages: one line that every database stores, whatever the failure said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clworker.core.tasks.messages import describe_exception, one_line


@given(st.text(st.characters(codec=None), max_size=3000))
def test_any_text_becomes_one_line_of_utf_8_without_control_characters(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not [character for character in line if ord(character) < 32 or 127 <= ord(character) < 160]
    assert line.encode().decode() == line
    assert len(line) <= 2000


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=100).map(str.strip))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert one_line(text) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n\n   b\r\nc\n", "a b c"),
        ("two  blanks.jpg", "two  blanks.jpg"),
        ("caf\udce9.jpg", "caf\\udce9.jpg"),
        ("a\0b", "a\\x00b"),
        ("a\tb\x1b[31m\x7f\x9b", "a\\tb\\x1b[31m\\x7f\\x9b"),
        ("x" * 2001, "x" * 1999 + "…"),
    ],
)
def test_what_becomes_of_it(text: str, line: str) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (ValueError("no\nroom"), "ValueError: no room"),
        (ValueError(), "ValueError"),
        (ValueError("  "), "ValueError"),
        (MemoryError(), "out of memory"),
        (SystemExit("bye"), "it called sys.exit(bye)"),
        (SystemExit(), "it called sys.exit()"),
    ],
)
def test_exceptions_are_said_by_name_and_text(failure: BaseException, words: str) -> None:
    assert describe_exception(failure) == words
