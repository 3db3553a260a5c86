"""What strangers may send: hypothesis strategies for text, JSON, columns and paths at their worst."""

import contextlib
import io
import json
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES") or 30),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""A decorator: few examples in the test command, as many as ``make fuzz`` asks for."""

DEEP = 100_000
WORST_TEXTS = {
    **{repr(text): text for text in ("", ".", "..", "../..", "/", "\0", "\x1b[2J", "\x9b31m", "\u202egpj", "a\r\nb")},
    "blanks": "é \u3000",
    "long": "x" * 5000,
}
BROKEN_JSON = {
    **{text: text for text in ("1e999", "NaN", "nul", '"\\ud800"', "{", "\0{}")},
    "lists without end": "[" * DEEP,
    "objects without end": '{"a":' * DEEP,
    "deep": "[" * 300 + "]" * 300,
    "number without end": "9" * 5000,
}
BIG_NUMBERS = {"64 bits": 2**63, "a bit less": -(2**63) - 1, "long": 10**4000, "float": 1e308}


def one_of_named(values: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Choose by name: hypothesis keeps a strategy's repr over and over, which must not hold megabytes."""

    def named(name: str) -> Any:
        return values[name]

    return st.sampled_from(sorted(values)).map(named)


any_text = st.text(st.characters(codec=None), max_size=40) | one_of_named(WORST_TEXTS)
"""Every text that Python knows, lone surrogates and control characters among them."""

unicode_text = st.text(max_size=40) | one_of_named(WORST_TEXTS)
"""Text that has a form in UTF-8."""

argument = (st.text(st.characters(exclude_characters="\0"), max_size=40) | one_of_named(WORST_TEXTS)).map(
    lambda text: text.replace("\0", "\udcff")
)
"""Text that an environment or a command line can hold; bytes that are no UTF-8 come as lone surrogates."""

numbers = st.integers() | st.floats() | one_of_named(BIG_NUMBERS)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=10,
)
"""Values that JSON can say, and NaN and infinity, which Python's says too."""

json_texts = json_values.map(json.dumps) | one_of_named(BROKEN_JSON)

whole_numbers = st.integers(-(2**63), 2**63 - 1)
column_values: st.SearchStrategy[Any] = st.one_of(
    st.none(), whole_numbers, st.floats(), unicode_text, json_texts, st.binary(max_size=40)
)
"""Values that SQLite keeps in any column, whatever type the column was declared with."""


def rendered(print_it: Callable[[], None]) -> str:
    """Return what a function prints to a stdout like that of a terminal."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "utf-8", errors="backslashreplace", newline="\n", write_through=True)
    with contextlib.redirect_stdout(stream):
        print_it()
    return raw.getvalue().decode()


def strict_json(text: str) -> Any:
    """Parse JSON as others do, to whom NaN and infinity are none."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def assert_safe(text: str) -> None:
    """Fail when a text could drive a terminal."""
    wild = {character for character in text if not character.isprintable()} - {"\n"}
    assert not wild, wild
