"""From texts to values: what is well-formed comes through, and nothing but ValueError comes out."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clworker.core import parsing

PARSERS: dict[str, Callable[[str], Any]] = {
    "seconds": parsing.seconds,
    "mebibytes": parsing.mebibytes,
    "port": parsing.port,
    "age_ms": parsing.age_ms,
    "one_of": parsing.one_of("A", "B", upper=True),
    "folder": parsing.folder,
    "folders": parsing.folders,
    "names": parsing.names,
    "worker_id": parsing.worker_id,
    "host": parsing.host,
    "topic": parsing.topic,
    "database_url": parsing.database_url,
}
any_text = st.text() | st.from_regex(r"[a-z+]{0,8}:/{0,4}[ -~]*", fullmatch=True) | st.text("0123456789.-+e_smhdw \0/~")


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=50)
@given(text=any_text)
def test_a_fault_is_half_a_sentence_that_follows_the_value(name: str, text: str) -> None:
    try:
        PARSERS[name](text)
    except ValueError as fault:
        assert type(fault) is ValueError
        assert re.match(r"(is|has|holds|names|cannot) [^\n]+$", str(fault)), str(fault)


@given(count=st.integers(0, 999_999_999), unit=st.sampled_from("smhdw"))
def test_ages_are_a_count_and_a_unit(count: int, unit: str) -> None:
    size = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}[unit]
    assert parsing.age_ms(f"{count}{unit}") == count * size * 1000


@pytest.mark.parametrize("text", ["", "5", "s", "-1h", "1.5h", "1 h", "1H", "1h30m", "٣s", "1y", "1h\n"])
def test_other_ages_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an age such as"):
        parsing.age_ms(text)


@given(value=st.floats(0.001, 365 * 86_400))
def test_seconds_come_through(value: float) -> None:
    assert parsing.seconds(repr(value)) == value


@given(value=st.integers())
def test_ports_and_sizes_are_whole_numbers_of_their_range(value: int) -> None:
    for parse, highest in ((parsing.port, 65_535), (parsing.mebibytes, 1 << 24)):
        if 1 <= value <= highest:
            assert parse(str(value)) == value
        else:
            with pytest.raises(ValueError):
                parse(str(value))


@given(names=st.lists(st.from_regex(r"[^,\s]+", fullmatch=True), min_size=1), blanks=st.sampled_from(["", " ", "\t"]))
def test_names_keep_their_order_and_count_once(names: list[str], blanks: str) -> None:
    text = ",".join(f"{blanks}{name}{blanks}" for name in names)
    assert parsing.names(text) == tuple(dict.fromkeys(names))


@given(name=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), wrong=st.sampled_from(" /+#é\n\0,"))
def test_a_worker_id_is_one_level_of_a_topic(name: str, wrong: str) -> None:
    assert parsing.worker_id(name) == name
    for text in (name + wrong, wrong + name, ""):
        with pytest.raises(ValueError):
            parsing.worker_id(text)


@given(
    levels=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/+#"), min_size=1), min_size=1
    )
)
def test_a_topic_is_made_of_levels(levels: list[str]) -> None:
    text = "/".join(levels)
    if len(text.encode()) <= 1024:
        assert parsing.topic(text) == text
    for wrong in (f"/{text}", f"{text}/", f"{text}#", f"+/{text}", f"{text}\0", f"{text}\udcff"):
        with pytest.raises(ValueError):
            parsing.topic(wrong)


@given(name=st.from_regex(r"[^/\0?]{1,40}", fullmatch=True), driver=st.sampled_from(["", "+pysqlite", "+aiosqlite"]))
def test_a_sqlite_url_names_its_file(name: str, driver: str) -> None:
    path = f"/no/such/folder/{name}.db"
    url = parsing.database_url(f"sqlite{driver}:///{path}")
    assert url == f"sqlite:///{path}"
    assert parsing.sqlite_path(url) == path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("media.db", "is no database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/media.db", "is not understood"),
        ("sqlite:////data/media.db?mode=ro", "is not understood"),
        ("sqlite:////tmp", "names a folder"),
        ("postgres://", "names no database"),
        ("postgresql://db", "names no database"),
        ("postgresql://db/", "names no database"),
        ("postgresql+psycopg://cl:a/b@db/media", "names no database"),
        ("postgresql://db:port/media", "names a port that is not"),
        ("postgresql://db:70000/media", "names a port that is not"),
        ("postgresql://cl:a b@db/media", "is not understood"),
        ("postgresql://cl:a#b@db/media", "is not understood"),
        ("mysql://db/media", "is of no supported database"),
        ("://x", "is of no supported database"),
    ],
)
def test_other_urls_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        parsing.database_url(text)


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgres", *(f"postgresql+{x}" for x in ("psycopg2", "asyncpg", "psycopg"))]
)
def test_every_spelling_of_postgresql_means_our_driver(scheme: str) -> None:
    for rest in ("db/media", "cl:p%40ss@db:5432/media", "cl@[::1]:5432/media", "/media?host=/run/postgresql"):
        assert parsing.database_url(f"{scheme}://{rest}") == f"postgresql://{rest}"
    assert parsing.database_url(f"{scheme}://db/media?ssl=require&x=1") == "postgresql://db/media?sslmode=require&x=1"


def test_folders_are_absolute_and_know_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert parsing.folder("data/../data") == tmp_path / "data"
    assert parsing.folder("~/data") == tmp_path / "home/data"
    (tmp_path / "a folder").mkdir()
    assert parsing.folders(os.pathsep.join(["", "a folder", "/tmp", ""])) == (tmp_path / "a folder", Path("/tmp"))
    with pytest.raises(ValueError, match=f"names a folder that does not exist: '{tmp_path}/none'$"):
        parsing.folders("a folder:none")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not a folder"):
        parsing.folder("file")
