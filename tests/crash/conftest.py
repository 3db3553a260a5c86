"""The process that is killed again and again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import operations
from tests.crash.scene import home_of, use_server
from tests.support.crashing import Crasher, crasher_of
from tests.support.emptied import Emptied


@pytest.fixture(scope="session")
def crasher() -> Iterator[Crasher]:
    """Performs the operations of this folder and is killed at any step of them."""
    with crasher_of(operations.__name__) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder, in memory where that is possible: a kill loses nothing that a disk would have kept."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as made:
        folder = Path(made, "server")
        folder.mkdir()
        yield folder


@pytest.fixture
def server_folder(folder: Path, postgresql: Emptied) -> Path:
    """A data folder whose database is a server's."""
    use_server(folder, postgresql.fresh("own", home_of(folder)))
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def any_folder(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A data folder with each kind of database."""
    if request.param == "postgresql":
        request.getfixturevalue("server_folder")
    return folder
