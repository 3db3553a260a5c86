"""The workspace: what a task gets to see of a job's files, and the way back to the real names."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clworker.core.errors import PathRefused
from clworker.core.worker.workspace import Workspace

CONTENT = "what was checked"


class Desk:
    """A workspace over some files of one folder."""

    def __init__(self, root: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.inputs = [f"{root}/{name}" for name in inputs]
        self.outputs = [f"{root}/{name}" for name in outputs]
        for path in map(Path, self.inputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(CONTENT)
        self.workspace = Workspace(
            {"input_paths": self.inputs, "output_paths": self.outputs}, [root], [root], "0123456789abcdef"
        )

    def open(self) -> tuple[list[Path], list[Path]]:
        handed = self.workspace.open([])
        return list(map(Path, handed["input_paths"])), list(map(Path, handed["output_paths"]))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    many = [f"in/photo {number}.jpg" for number in range(12)]
    desk = Desk(tmp_path, many, [name.replace("in/", "out/") for name in many])
    yield desk
    desk.workspace.discard()


def test_names_and_suffixes_stay(desk: Desk) -> None:
    inputs, outputs = desk.open()
    assert [path.name for path in inputs] == [os.path.basename(path) for path in desk.inputs]
    assert [path.name for path in outputs] == [os.path.basename(path) for path in desk.outputs]


def test_the_task_reads_what_was_checked_even_if_the_path_is_swapped(desk: Desk, tmp_path: Path) -> None:
    inputs, _ = desk.open()
    (tmp_path / "secret").write_text("secret")
    real = Path(desk.inputs[3])
    real.rename(tmp_path / "moved")
    real.symlink_to(tmp_path / "secret")
    assert inputs[3].read_text() == CONTENT


def test_equal_names_of_different_folders_do_not_mix(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ["a/x.jpg", "b/x.jpg"], ["c/x.jpg", "d/x.jpg"])
    Path(desk.inputs[1]).write_text("the other")
    inputs, outputs = desk.open()
    assert [path.read_text() for path in inputs] == [CONTENT, "the other"]
    for path in outputs:
        path.write_text("x")
    assert desk.workspace.keep() == []
    desk.workspace.discard()


def test_every_way_to_name_a_file_is_mapped_back(desk: Desk) -> None:
    inputs, outputs = desk.open()
    restore = desk.workspace.restore
    for path, handed in zip(desk.inputs, inputs, strict=True):
        assert restore(str(handed)) == path
        assert restore(os.readlink(handed)) == path
        assert restore(str(handed.parent)) == os.path.dirname(path)
        assert restore(os.path.realpath(handed)) == path
        assert restore(str(handed.parent.resolve() / handed.name)) == path
    for path, handed in zip(desk.outputs, outputs, strict=True):
        assert restore(str(handed)) == restore(os.path.realpath(handed)) == path
        assert restore(str(handed.parent)) == restore(str(handed.parent.resolve())) == os.path.dirname(path)
        assert restore(f"{handed}.tmp") == f"{path}.tmp"


def test_values_of_any_shape_are_mapped_back_inside(desk: Desk) -> None:
    _, (first, second, *_) = desk.open()
    said = {
        "files": [str(first), {"second": (str(second),)}],
        str(first): f"{first}, {second}",
        "n": [1, None, 2.5, True],
    }
    one, two, *_ = desk.outputs
    assert desk.workspace.restore(said) == {
        "files": [one, {"second": [two]}],
        one: f"{one}, {two}",
        "n": [1, None, 2.5, True],
    }


def test_a_longer_number_is_another_file(desk: Desk) -> None:
    inputs, outputs = desk.open()
    for opened in (os.readlink(inputs[0]), str(outputs[0].parent)):
        assert desk.workspace.restore(f"{opened}999") == f"{opened}999"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=json_values)
def test_what_names_no_file_of_the_attempt_stays_as_it_is(tmp_path: Path, value: Any) -> None:
    desk = Desk(tmp_path, ["in.jpg"], ["out.jpg"])
    desk.open()
    try:
        assert desk.workspace.restore(value) == value
    finally:
        desk.workspace.discard()


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["a.jpg", "b.jpg"], ["c.jpg", "../{root}/c.jpg"], "two outputs would go to the same file"),
        (["a.jpg", "b.jpg"], ["c.jpg", "b.jpg"], "output path is also an input"),
        (["a.jpg"], ["folder"], "output path is a folder"),
        (["a.jpg"], ["../elsewhere.jpg"], "output is outside the folders"),
        (["a.jpg", "folder"], ["c.jpg", "d.jpg"], "input is a folder"),
    ],
)
def test_a_refusal_makes_nothing_and_keeps_nothing_open(
    tmp_path: Path, inputs: list[str], outputs: list[str], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    open_before = os.listdir("/proc/self/fd")
    with pytest.raises(PathRefused, match=message):
        Desk(tmp_path, inputs, [name.format(root=tmp_path.name) for name in outputs])
    assert len(os.listdir("/proc/self/fd")) == len(open_before)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"folder", *inputs})


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_an_input_is_recognised_behind_a_link(tmp_path: Path, link: str) -> None:
    (tmp_path / "a.jpg").write_text(CONTENT)
    if link == "hard":
        (tmp_path / "b.jpg").hardlink_to(tmp_path / "a.jpg")
    else:
        (tmp_path / "b.jpg").symlink_to("a.jpg")
    with pytest.raises(PathRefused, match=r"output path is also an input: .*/a\.jpg"):
        Desk(tmp_path, ["b.jpg"], ["a.jpg"])


@pytest.mark.parametrize("end", ["kept", "discarded"])
def test_the_end_lets_go_of_every_file(tmp_path: Path, end: str) -> None:
    before = os.listdir("/proc/self/fd")
    desk = Desk(tmp_path, ["a.jpg", "b.jpg"], ["out/a.jpg", "out/b.jpg"])
    _, outputs = desk.open()
    if end == "kept":
        for path in outputs:
            path.write_text("x")
        desk.workspace.keep()
    else:
        desk.workspace.discard()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]
    assert len(os.listdir("/proc/self/fd")) == len(before)
