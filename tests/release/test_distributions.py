"""The wheel and the sdist: complete, with the right words about themselves, and enough by themselves."""

import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from clworker import __version__
from tools.release_check import ROOT

Distributions = tuple[Path, Path]


@pytest.fixture(scope="session")
def in_wheel(distributions: Distributions) -> list[str]:
    return zipfile.ZipFile(distributions[0]).namelist()


@pytest.fixture(scope="session")
def metadata(distributions: Distributions, in_wheel: list[str]) -> Message:
    (name,) = [name for name in in_wheel if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(zipfile.ZipFile(distributions[0]).read(name).decode())


def test_the_wheel_has_the_package_its_manual_and_its_completions(in_wheel: list[str]) -> None:
    package = {str(path.relative_to(ROOT)) for path in ROOT.glob("clworker/**/*") if path.is_file()}
    package = {name for name in package if "__pycache__" not in name}
    shared = {f"share/man/man1/{path.name}" for path in ROOT.glob("man/*.1")} | {
        "share/bash-completion/completions/clworker",
        "share/fish/vendor_completions.d/clworker.fish",
        "share/zsh/site-functions/_clworker",
    }
    info = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    top = f"clworker-{__version__}"
    expected = package | {f"{top}.data/data/{name}" for name in shared} | {f"{top}.dist-info/{name}" for name in info}
    assert set(in_wheel) == expected


def test_its_words_about_itself(metadata: Message) -> None:
    assert (metadata["Version"], metadata["Requires-Python"]) == (__version__, ">=3.11")
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert metadata["Description-Content-Type"] == "text/markdown"
    classifiers = metadata.get_all("Classifier") or []
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)
    assert "Typing :: Typed" in classifiers
    assert not [one for one in classifiers if one.startswith("License ::")]  # the expression says it (PEP 639)
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_sdist_has_all_that_is_needed_to_carry_on(distributions: Distributions) -> None:
    with tarfile.open(distributions[1]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("benchmarks", "clworker", "completions", "docs", "examples", "man", "tests", "tools")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in files if not {"__pycache__", ".mypy_cache"} & set(path.parts)}
    wanted |= {"ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md"}
    assert wanted - inside == set()
    assert not [name for name in inside if name.startswith(".venv") or "__pycache__" in name]
