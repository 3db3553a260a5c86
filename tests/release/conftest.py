"""What is handed out, built and installed once: the wheel alone, and beside it what the examples need."""

import site
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.broker import missing
from tools.release_check import ROOT, Environment, build, create, install


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    wheel, sdist = build(ROOT, tmp_path_factory.mktemp("dist"), "wheel", "sdist")
    return wheel, sdist


@pytest.fixture(scope="session")
def installed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and what it depends on, and nothing else."""
    environment = create(sys_python(), tmp_path_factory.mktemp("installed") / "venv")
    try:
        install(environment, distributions[0])
    except subprocess.CalledProcessError:
        missing("what clworker depends on (is the package index in reach?), so it")
    return environment


@pytest.fixture(scope="session")
def with_examples(installed: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel's environment, the example plugin, and last the tests' own packages (FastAPI, pytest)."""
    folder = tmp_path_factory.mktemp("examples")
    environment = create(sys_python(), folder / "venv")
    (plugin,) = build(ROOT / "examples" / "thumbnail_sheet", folder, "wheel")
    install(environment, plugin, "--no-deps")
    (site_packages,) = environment.folder.glob("lib/*/site-packages")
    others = [*installed.folder.glob("lib/*/site-packages"), *site.getsitepackages()]
    (site_packages / "others.pth").write_text("".join(f"{path}\n" for path in others))
    return environment


def sys_python() -> str:
    """The Python of the tests, not that of their environment."""
    return str(Path(sys.base_prefix) / "bin" / "python3")
