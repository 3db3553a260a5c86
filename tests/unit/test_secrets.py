"""Passwords inside URLs are hidden, wherever in a text they stand, and nothing else is."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clworker.core.secrets import masked, masked_whole

unreserved = st.text("abcXYZ012-._~!$&()*+,;=%:@/?#[]", min_size=6)


@pytest.mark.parametrize("hide", [masked, masked_whole])
@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://cl:s3cret@db/media", "postgresql://cl:***@db/media"),
        ("postgresql+psycopg://cl:s3c:r@t/x@db", "postgresql+psycopg://cl:***@db"),
        ("mqtts://:s3cret@broker", "mqtts://:***@broker"),
        ("postgresql://cl@corp:s3cret@db", "postgresql://cl@corp:***@db"),
        ("postgresql://db/media?password=s3cret", "postgresql://db/media?password=***"),
        ("postgresql://db/media?user=cl&PASSWD=s3cret", "postgresql://db/media?user=cl&PASSWD=***"),
        ("host=db password=s3cret", "host=db password=***"),
        ("host=db password='s3 cret'", "host=db password=***"),
    ],
)
def test_a_password_is_hidden(hide: Callable[[str], str], text: str, hidden: str) -> None:
    assert hide(text) == hidden


@pytest.mark.parametrize("hide", [masked, masked_whole])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text, 12:30",
        "me@example.org",
        "sqlite:////data/media_store.db",
        "postgresql://db:5432/media",
        "http://127.0.0.1:8080/jobs?limit=5",
    ],
)
def test_text_without_a_password_stays_as_it_is(hide: Callable[[str], str], text: str) -> None:
    assert hide(text) == text


def test_a_time_and_an_address_are_no_credentials_but_in_a_single_value() -> None:
    text = "12:30 me@example.org"
    assert (masked(text), masked_whole(text)) == (text, "12:***@example.org")


def test_every_url_of_a_longer_text_is_masked() -> None:
    text = 'cannot reach "postgresql://a:one@db/x" nor amqp://b:two@mq, see http://host:80/'
    assert masked(text) == 'cannot reach "postgresql://a:***@db/x" nor amqp://b:***@mq, see http://host:80/'


@given(before=st.text(st.characters(exclude_characters="=")), password=unreserved, after=st.text("abc /."))
def test_a_well_formed_password_never_gets_through(before: str, password: str, after: str) -> None:
    hidden = masked(f"{before} postgresql://cl:{password}@db {after}")
    assert hidden == f"{masked(before)} postgresql://cl:***@db {after}"


@given(text=st.text())
def test_masking_twice_changes_no_more(text: str) -> None:
    assert masked(masked(text)) == masked(text)
    assert masked_whole(masked_whole(text)) == masked_whole(text)
