"""Confinement: whatever a path looks like, and whoever swaps links meanwhile, jobs stay in their folders."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clworker.core.errors import PathRefused
from clworker.core.worker import confinement
from clworker.core.worker.confinement import open_input, opened_folder, output_target

SECRET = "secret"
ALLOWED = "allowed"
PARTS = ["", ".", "..", "...", "a", "b", "file", "gone", "root", "outside", "link", "loop", "up", "é \n"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``root`` that jobs may use, ``outside`` that they must not, and links both ways."""
    base = tmp_path_factory.mktemp("base")
    for folder in ("root/a", "root/a/b", "root/é \n", "outside/a", "outside/a/b", "root-not"):
        (base / folder).mkdir(parents=True, exist_ok=True)
        (base / folder / "file").write_text(ALLOWED if folder.startswith("root/") else SECRET)
    for link, target in (
        ("root/link", "../outside"),
        ("root/a/link", base / "outside/a"),
        ("root/a/b/link", "/"),
        ("root/a/up", ".."),
        ("root/loop", "loop"),
        ("root/é \n/link", "../a"),
        ("root/a/root", "../../root"),
        ("outside/root", "../root"),
        ("outside/link", "/etc/passwd"),
    ):
        (base / link).symlink_to(target)
    return base


def read(fd: int) -> str:
    with os.fdopen(fd) as file:
        return file.read()


@contextmanager
def no_open_file_left() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)


paths = st.lists(st.sampled_from(PARTS), max_size=8).map("/".join)
swift = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None)


@swift
@given(paths)
def test_what_opens_for_reading_lies_inside(base: Path, path: str) -> None:
    with no_open_file_left():
        try:
            fd = open_input(f"{base}/{path}", [base / "root"])
        except PathRefused:
            return
        assert read(fd) == ALLOWED


@swift
@given(paths)
def test_what_is_refused_for_reading_could_not_be_read_inside(base: Path, path: str) -> None:
    whole = f"{base}/{path}"
    real = os.path.realpath(whole)
    readable = os.path.isfile(whole) and real.startswith(f"{base}/root/") and os.path.basename(whole)
    try:
        os.close(open_input(whole, [base / "root"]))
    except PathRefused:
        assert not readable


@swift
@given(paths)
def test_an_output_s_folder_lies_inside(base: Path, path: str) -> None:
    with no_open_file_left():
        try:
            target = output_target(f"{base}/{path}", [base / "root"])
            with opened_folder(target, [base / "root"]) as folder:
                real = os.readlink(f"/proc/self/fd/{folder}")
        except PathRefused:
            return
        assert f"{real}/".startswith(f"{base}/root/")
        assert target.name not in ("", ".", "..")
        assert "/" not in target.name


@swift
@given(st.text(st.characters(codec=None), max_size=20))
def test_any_text_at_all_is_refused_in_words_or_opened(base: Path, text: str) -> None:
    for path in (text, f"{base}/root/{text}", f"{base}/root/{text}/file"):
        for check in (open_input, output_target):
            try:
                found = check(path, [base / "root"])
            except PathRefused as refusal:
                assert str(refusal)
            else:
                if isinstance(found, int):
                    os.close(found)


def test_a_pipe_is_refused_without_letting_its_writer_go(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as thread:
        # Waits for a reader; one that came and went would leave it with a broken pipe.
        writing = thread.submit(pipe.write_bytes, b"whole")
        for _ in range(100):
            with pytest.raises(PathRefused, match="input is no regular file"):
                open_input(str(pipe), [tmp_path])
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert writing.result(10) == 5
        finally:
            os.close(reader)


def swap_after_the_check(monkeypatch: pytest.MonkeyPatch, swap: Callable[[], None]) -> None:
    """Do ``swap`` between the resolving of links and the walk, which no timing could do for sure."""
    walk = confinement._walk

    def late(root: str, folder: str, create: list[str] | None) -> int:
        swap()
        return walk(root, folder, create)

    monkeypatch.setattr(confinement, "_walk", late)


@pytest.mark.parametrize("swapped", ["a", "a/b", "a/b/file"])
def test_a_link_swapped_in_after_the_check_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    for folder, content in (("root/a/b", ALLOWED), ("outside/a/b", SECRET)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text(content)

    def swap() -> None:
        (tmp_path / "root" / swapped).rename(tmp_path / "moved")
        (tmp_path / "root" / swapped).symlink_to(tmp_path / "outside" / swapped)

    swap_after_the_check(monkeypatch, swap)
    with no_open_file_left(), pytest.raises(PathRefused, match="input file cannot be opened"):
        open_input(f"{tmp_path}/root/a/b/file", [tmp_path / "root"])


@pytest.mark.parametrize("made", [True, False], ids=["made if missing", "there already"])
def test_an_output_folder_swapped_for_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()

    def swap() -> None:
        (tmp_path / "root/a").rmdir()
        (tmp_path / "root/a").symlink_to(tmp_path / "outside")

    swap_after_the_check(monkeypatch, swap)
    target = output_target(f"{tmp_path}/root/a/b/new", [tmp_path / "root"])
    with pytest.raises(PathRefused), opened_folder(target, [tmp_path / "root"], [] if made else None):
        pass
    assert not list((tmp_path / "outside").iterdir())


def test_missing_folders_are_made_and_told_outermost_first(tmp_path: Path) -> None:
    root = tmp_path / "not/yet/there"
    target = output_target(f"{root}/a/b/new", [root])
    created: list[str] = []
    with opened_folder(target, [root], created) as folder:
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    assert created == [f"{root}/a", f"{root}/a/b"]
    assert (root / "a/b/new").exists()


def test_folders_that_are_there_are_not_told(base: Path) -> None:
    created: list[str] = []
    with opened_folder(output_target(f"{base}/root/a/b/new", [base / "root"]), [base / "root"], created):
        pass
    assert created == []


def test_many_can_make_one_folder_at_the_same_moment(tmp_path: Path) -> None:
    target = output_target(f"{tmp_path}/a/b/c/d/new", [tmp_path])
    together = threading.Barrier(8)

    def make(_number: int) -> list[str]:
        created: list[str] = []
        together.wait()
        with opened_folder(target, [tmp_path], created):
            return created

    with ThreadPoolExecutor(8) as threads:
        created = [path for paths in threads.map(make, range(8)) for path in paths]
    assert sorted(created) == [f"{tmp_path}/{folder}" for folder in ("a", "a/b", "a/b/c", "a/b/c/d")]


@pytest.mark.parametrize("root", ["{base}/outside/root", "{base}/root/", "{base}/root/../root", "//{base}/root", "/"])
def test_a_root_may_be_spelled_in_any_way(base: Path, root: str) -> None:
    roots = [Path("/nowhere"), Path(root.format(base=base))]
    assert read(open_input(f"{base}/root/a/file", roots)) == ALLOWED
    assert output_target(f"{base}/root/a/new", roots).folder == f"{base}/root/a"


@pytest.mark.parametrize(
    "path", ["root/a/root/a/file", "root/a/up/a/file", "outside/root/a/file", "root/é \n/link/file"]
)
def test_links_that_stay_inside_are_followed(base: Path, path: str) -> None:
    assert read(open_input(f"{base}/{path}", [base / "root"])) == ALLOWED


def test_without_roots_nothing_is_allowed(base: Path) -> None:
    for check in (open_input, output_target):
        with pytest.raises(PathRefused, match="outside the folders"):
            check(f"{base}/root/a/file", [])
