"""``FolderWatch`` tells the names of files that are written to, from the kernel itself."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clworker.core.worker.inotify import FolderWatch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[FolderWatch]:
    with closing(FolderWatch(str(tmp_path))) as opened:
        yield opened


def _is_readable(watch: FolderWatch) -> bool:
    return bool(select.select([watch.fd], [], [], 0)[0])


def test_silence_is_no_name(watch: FolderWatch) -> None:
    assert not _is_readable(watch)
    assert list(watch.names()) == []


def test_creating_writing_and_moving_in_are_told_and_each_only_once(watch: FolderWatch, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("moved")
    (tmp_path / "written").write_text("text")
    outside.rename(tmp_path / "moved")
    assert _is_readable(watch)
    assert set(watch.names()) == {"written", "moved"}
    assert list(watch.names()) == []


def test_reading_and_what_happens_in_folders_below_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "file").write_text("text")
    with closing(FolderWatch(str(tmp_path))) as watch:
        (tmp_path / "file").read_text()
        (tmp_path / "below" / "file").write_text("text")
        assert list(watch.names()) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.binary(min_size=1, max_size=255).filter(lambda name: not {0, ord("/")} & set(name)))
def test_any_name_that_a_file_may_have_comes_out_as_it_is(watch: FolderWatch, tmp_path: Path, name: bytes) -> None:
    if name in (b".", b".."):
        return
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:  # noqa: PTH123 - a name of bytes
        file.write(b"x")
    assert set(watch.names()) == {os.fsdecode(name)}
    os.remove(path)
    assert list(watch.names()) == []


def test_more_events_than_one_read_takes_are_all_told(watch: FolderWatch, tmp_path: Path) -> None:
    expected = {f"{number:0200}" for number in range(500)}
    for name in expected:
        (tmp_path / name).touch()
    told: set[str] = set()
    while _is_readable(watch):
        told.update(watch.names())
    assert told == expected


def test_a_folder_that_cannot_be_watched_is_an_error_that_leaks_nothing(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        FolderWatch(str(tmp_path / "missing"))
    assert os.listdir("/proc/self/fd") == before
