"""Passwords in texts of any length: hidden, and found without a search that grows with its square.

A search that looks at every letter for the begin of a URL takes minutes for these texts.
"""

import pytest

from clworker.core.secrets import masked

LONG = 1_000_000


@pytest.mark.parametrize("text", ["x" * LONG, "x://" + "a" * LONG, "a+b." * (LONG // 4), "?password" * (LONG // 9)])
def test_long_texts_without_a_password_stay_as_they_are(text: str) -> None:
    assert masked(text) == text


def test_a_password_at_the_end_of_a_long_text_is_hidden() -> None:
    assert masked("x" * LONG + " mysql+driver://me:s3c@ret@host/db") == "x" * LONG + " mysql+driver://me:***@host/db"
