"""Loading of plugins, in this process: what is reported, and in which order entries count."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from clworker.core.tasks.loading import entries, load_all
from tests.support.plugins import NOTE_GROUP, PUBLISHED_GROUP, PluginFolder


class Params(BaseModel):
    """Has pydantic load all of itself while its packages can still be found: the tests take them off the path."""


TASK = """
from pydantic import BaseModel
class Params(BaseModel):
    pass
class Task:
    task_type = "same"
    def get_schema(self):
        return Params
    async def execute(self, job, params, progress_callback=None):
        return {}
"""


@pytest.fixture
def path(plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """Plugins on the path of this process, with no other package beside them."""
    installed = [place for place in sys.path if "site-packages" not in place]
    monkeypatch.setattr(sys, "path", [str(plugins.path), *installed])
    before = set(sys.modules)
    yield plugins
    for name in set(sys.modules) - before:
        del sys.modules[name]


def distributions() -> list[str]:
    return [entry.distribution for entry in entries()]


def test_published_group_comes_first_then_the_distributions_name_then_the_entrys(path: PluginFolder) -> None:
    path.install("aaa", TASK, {"one": "Task"}, group=NOTE_GROUP)
    path.install("Mmm", TASK, {"two": "Task", "one": "Task"})
    path.install("bbb", TASK, {"one": "Task"})
    assert [(entry.group, entry.distribution, entry.name) for entry in entries()] == [
        (PUBLISHED_GROUP, "bbb", "one"),
        (PUBLISHED_GROUP, "Mmm", "one"),
        (PUBLISHED_GROUP, "Mmm", "two"),
        (NOTE_GROUP, "aaa", "one"),
    ]


def test_entry_of_both_groups_counts_once_where_it_comes_first(path: PluginFolder) -> None:
    path.install("both", TASK, {"one": "Task"})
    points = path.path / "both-1.0.dist-info/entry_points.txt"
    points.write_text(f"[{NOTE_GROUP}]\none = both:Task\n{points.read_text()}")
    path.install("later", TASK, {"one": "Task"})
    assert [(entry.group, entry.distribution) for entry in entries()] == [
        (PUBLISHED_GROUP, "both"),
        (PUBLISHED_GROUP, "later"),
    ]


def test_of_two_installations_of_one_name_the_first_on_the_path_counts(
    path: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.install("my-plugin", TASK, {"one": "Task"}, version="2.0")
    behind = PluginFolder(tmp_path / "behind")
    behind.install("My.Plugin".replace(".", "_"), TASK, {"one": "Task"}, version="1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(behind.path)])
    assert [(entry.distribution, entry.version) for entry in entries()] == [("my-plugin", "2.0")]


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[cl_ml_tools.tasks]\nno equals sign\n", b"one = aaa:Task\n"])
def test_unreadable_entry_points_are_that_packages_trouble_alone(path: PluginFolder, text: bytes) -> None:
    path.install("aaa", TASK, {"one": "Task"})
    path.install("bbb", TASK, {"one": "Task"})
    (path.path / "aaa-1.0.dist-info/entry_points.txt").write_bytes(text)
    assert distributions() == ["bbb"]


def test_packages_with_unreadable_metadata_are_all_found(path: PluginFolder) -> None:
    for name in ("aaa", "bbb"):
        path.install(name, TASK, {name: "Task"})
        (path.path / f"{name}-1.0.dist-info/METADATA").write_bytes(b"Name: \xff\xfe")
    assert [(entry.name, entry.distribution, entry.version) for entry in entries()] == [
        ("aaa", "unknown", ""),
        ("bbb", "unknown", ""),
    ]


def test_each_entry_is_announced_before_its_import_and_skipped_ones_are_not_imported(path: PluginFolder) -> None:
    path.install("aaa", TASK, {"one": "Task"})
    path.install("bbb", "raise RuntimeError('imported')", {"two": "Task"})
    path.install("ccc", "raise SystemExit(3)", {"three": "Task"})
    path.install("ddd", TASK, {"four": "Task"})
    reports: list[dict[str, Any]] = []
    registry = load_all(reports.append, skip={entry.key for entry in entries() if entry.name == "two"})
    assert list(registry) == ["same"]
    assert [(report["type"], report.get("name"), report.get("reason")) for report in reports] == [
        ("loading", "one", None),
        ("ready", None, None),
        ("loading", "three", None),
        ("broken", None, "it called sys.exit(3)"),
        ("loading", "four", None),
        ("shadowed", None, "aaa 1.0 provides this task type too and comes first"),
        ("done", None, None),
    ]
