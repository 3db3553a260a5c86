"""Params of strangers, by the way that they take in a slot: validated, confined, staged, placed.

Whatever they hold, the way ends in the outputs or in a refusal of one line, and nothing
outside the folders that jobs may use is made, changed or removed.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cl_ml_tools import BaseJobParams
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from clworker.core.errors import ParamsRefused, PathRefused
from clworker.core.frames import Decoder, encode
from clworker.core.tasks import params as parameters
from clworker.core.tasks.messages import one_line
from clworker.core.worker.outputs import Placement
from clworker.core.worker.workspace import Workspace
from tests.support.hostile import any_text, argument, assert_safe, fuzzed, json_values

TOKEN, OLDER = "0123456789abcdef", "fedcba9876543210"
PARTS = ["a", "b", "photo.jpg", "new.jpg", "out", "up", "loop", "pipe", "..", ".", "", f".clworker-{OLDER}"]


class Size(BaseJobParams):
    """What a task of the engine asks for."""

    width: int = Field(gt=0)
    ratio: float = 1.0
    name: str = ""


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``root`` that jobs may use, ``outside`` that they must not, and links both ways."""
    yard = tmp_path_factory.mktemp("yard")
    for folder in ("root/a/b", f"root/a/.clworker-{OLDER}", "outside/a"):
        (yard / folder).mkdir(parents=True)
        (yard / folder / "photo.jpg").write_text(folder)
    (yard / "root/out").symlink_to(yard / "outside")
    (yard / "root/a/up").symlink_to("..")
    (yard / "root/loop").symlink_to("loop")
    os.mkfifo(yard / "root/a/pipe")
    return yard


def outside(yard: Path) -> list[tuple[str, bytes | None]]:
    """Return all that lies in the yard beside ``root``."""
    found = [path for path in yard.rglob("*") if not path.is_relative_to(yard / "root")]
    return sorted((str(path), path.read_bytes() if path.is_file() else None) for path in found)


paths = st.lists(st.sampled_from(PARTS) | any_text, max_size=5).map("/".join)
path_lists = st.lists(paths, max_size=3) | json_values
whole_params = json_values | st.fixed_dictionaries(
    {"width": st.integers(1, 9) | json_values, "input_paths": path_lists, "output_paths": path_lists},
    optional={"ratio": json_values, "name": json_values, "further": json_values},
)


def below(yard: Path, given_params: Any) -> Any:
    """Have most paths begin in the yard."""
    if not isinstance(given_params, dict):
        return given_params
    moved = dict(given_params)
    for name in parameters.PATH_FIELDS:
        if isinstance(moved.get(name), list):
            moved[name] = [
                path if not isinstance(path, str) or path.startswith("/") else f"{yard}/root/{path}"
                for path in moved[name]
            ]
    return moved


def run(given_params: Any, root: Path) -> bool:
    """Do what slot and supervisor do; tell whether the job got its outputs. Raises the documented refusals."""
    parameters.validate(Size, given_params)
    parameters.unknown_names(Size, given_params)
    workspace = Workspace(given_params, [root], [root], TOKEN)
    placement = Placement(given_params, [root], TOKEN, [OLDER])
    try:
        handed = workspace.open([])
        placement.note_staged(workspace.created)
        for path in handed["input_paths"]:
            assert Path(path).read_text().startswith("root/")
        for path in handed["output_paths"]:
            Path(path).write_text("root/ new")
        assert workspace.keep() == []
        placement.place()
        return True
    finally:
        workspace.discard()
        placement.discard()


@fuzzed
@given(given_params=whole_params)
def test_params_end_in_outputs_or_in_a_refusal(yard: Path, given_params: Any) -> None:
    before = outside(yard)
    hostile = below(yard, given_params)
    (order,) = Decoder().feed(encode({"params": hostile}))
    open_files = len(os.listdir("/proc/self/fd"))
    try:
        done = run(order["params"], yard / "root")
    except (ParamsRefused, PathRefused) as refusal:
        line = one_line(str(refusal))
        assert line and len(line.splitlines()) == 1
        assert not [character for character in line if ord(character) < 32]
        line.encode()
    except OSError as failure:  # a slot makes this the job's error: the disk, or a name that it does not take
        assert failure.strerror
    else:
        assert done
    assert outside(yard) == before
    assert len(os.listdir("/proc/self/fd")) == open_files
    assert (yard / "root/a/b/photo.jpg").exists()
    assert [path.name for path in (yard / "root").rglob(f".clworker-{TOKEN}")] == []


def typed_texts() -> Iterator[st.SearchStrategy[str]]:
    yield argument
    yield json_values.map(json.dumps)


@fuzzed
@given(texts=st.dictionaries(st.sampled_from(["width", "ratio", "name"]) | argument, st.one_of(*typed_texts())))
def test_typed_parameters_become_values_or_a_refusal(texts: dict[str, str]) -> None:
    try:
        values = parameters.parse_values(Size, texts)
        model = parameters.validate(Size, {**values, "input_paths": ["/0"], "output_paths": ["/0"]})
        checked = model.model_dump(mode="json", by_alias=True)
        parameters.check_finite({name: checked[name] for name in values})
        json.dumps(checked)
    except ParamsRefused as refusal:
        assert_safe(one_line(str(refusal)).encode("ascii", "replace").decode())
