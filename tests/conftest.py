"""Fixtures that every kind of test uses."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from clworker.core.store.store import Store
from tests.support import databases
from tests.support.bench import Bench
from tests.support.broker import Broker
from tests.support.emptied import Emptied
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.plugins import PluginFolder
from tests.support.postgres import Place, Server
from tests.support.program import Program
from tests.support.worker import StartWorker

# No test asserts a speed, on however busy a machine.
settings.register_profile("unhurried", settings(deadline=None))
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Have Ctrl-C work here and in the programs that tests start: in a shell's background it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def plugins(tmp_path: Path) -> PluginFolder:
    """An empty folder of plugins, on the program's path."""
    return PluginFolder(tmp_path / "plugins")


@pytest.fixture
def program(tmp_path: Path, plugins: PluginFolder) -> Program:
    """The program, with a data folder that does not exist yet and no broker."""
    return Program(tmp_path / "server", {"PYTHONPATH": str(plugins.path)})


@pytest.fixture
def start_worker(program: Program, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts ``clworker run``; whatever still runs at the end is killed."""
    start = StartWorker(program, tmp_path / "workers")
    yield start
    for worker in start.started:
        worker.__exit__()


@pytest.fixture
def database(program: Program) -> Path:
    """Where the program's database is, or will be."""
    program.server_dir.mkdir(parents=True, exist_ok=True)
    return program.server_dir / "media_store.db"


@pytest.fixture(params=list(databases.GENERATIONS))
def made_database(request: pytest.FixtureRequest, database: Path) -> Path:
    """A database that another program has made, in each generation."""
    databases.create(database, request.param)
    return database


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    """A store over a database that clworker makes itself."""
    opened = Store(f"sqlite:///{database}")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Emptied]:
    """One PostgreSQL for all tests, with databases that are emptied for each."""
    server = Server()
    try:
        emptied = Emptied(server.start())
        yield emptied
        emptied.close()
    finally:
        server.remove()


@pytest.fixture
def server_place(postgresql: Emptied, program: Program) -> Place:
    """A new database of the server, which the program is told to use."""
    place = postgresql.fresh("own", program.server_dir / "media_store.db")
    program.environ["DATABASE_URL"] = place.url
    return place


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A JPEG photo of 640 by 480."""
    return photo(tmp_path / "photo.jpg")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A real Mosquitto that lets everybody in."""
    made = Broker(tmp_path)
    yield made.start()
    made.stop()


@pytest.fixture
def broker_port(broker: Broker) -> int:
    """The port of a real Mosquitto."""
    return broker.port


@pytest.fixture
def seen_program(program: Program, broker: Broker) -> Program:
    """The program, with the broker at hand."""
    program.environ.update(broker.environ)
    return program


@pytest.fixture
def command(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[InProcess]:
    """The command line inside this process, with the program's environment."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield InProcess(program, monkeypatch, capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def bench(program: Program, command: InProcess, plugins: PluginFolder, database: Path, tmp_path: Path) -> Bench:
    """The program over an empty queue, with tasks made by the test."""
    marks = tmp_path / "marks"
    marks.mkdir()
    return Bench(program, command, plugins, database, marks)
