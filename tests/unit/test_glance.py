"""What TAB finds: quickly enough to be bounded, in silence, and without a trace."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from clworker.core import glance
from clworker.core.store.store import Store
from clworker.core.tasks.entry_names import entry_names
from clworker.core.tasks.loading import entries
from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.plugins import NOTE_GROUP, PluginFolder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("CL_SERVER_DIR", str(database.parent))


@pytest.fixture(params=[*databases.GENERATIONS, "postgresql-first", "postgresql-current"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: Path) -> databases.Place:
    """A database that another program has made, of each kind and generation."""
    generation = request.param.removeprefix("postgresql-")
    if generation == request.param:
        databases.create(database, generation)
        return database
    postgresql: Emptied = request.getfixturevalue("postgresql")
    place = postgresql.place(generation, database)
    monkeypatch.setenv("DATABASE_URL", place.url.replace("postgresql:", "postgres+asyncpg:"))
    return place


def ids(prefix: str = "", *statuses: str) -> list[str]:
    return [job_id for job_id, _ in glance.job_ids(prefix, statuses)]


def test_entry_names_are_those_that_discovery_finds(plugins: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.install("plugin-old", "", {"old_task": "Task"}, group=NOTE_GROUP)
    plugins.install("plugin-other", "", {"no_task": "Task"}, group="console_scripts")
    (plugins.path / "broken-1.0.dist-info").mkdir()
    (plugins.path / "broken-1.0.dist-info" / "entry_points.txt").write_bytes(b"[cl_ml_tools.tasks]\nx\xff = y")
    monkeypatch.syspath_prepend(str(plugins.path))
    assert "old_task" in entry_names()
    assert entry_names() == sorted({entry.name for entry in entries()})


def test_jobs_are_found_by_the_beginning_of_their_ids(place: databases.Place) -> None:
    rows = [("ab1", "queued"), ("ab2", "error"), ("b", "processing"), ("ab%", "completed"), ("aB3", "queued")]
    databases.insert(place, [{"job_id": job_id, "status": status} for job_id, status in rows])
    assert ids() == ["aB3", "ab%", "b", "ab2", "ab1"]
    assert ids("ab") == ["ab%", "ab1", "ab2"]
    assert ids("", "queued", "processing") == ["aB3", "ab1", "b"]
    assert ids("ab", "queued", "error") == ["ab1", "ab2"]
    assert ids("zz") == ids("a", "processing") == ids("\udcff") == []
    assert glance.job_ids("ab1")[0][1] == "image_resize, queued"


def test_of_many_jobs_the_last_is_there_so_that_they_have_no_more_in_common_than_all(database: Path) -> None:
    databases.queue(database, *({"job_id": f"a{number:03}"} for number in range(500)))
    assert {"a000", "a499"} <= set(ids("a"))
    assert len(ids("a")) < 100 > len(ids())
    assert len(ids("a", "queued")) == 500


def test_what_a_shell_would_obey_is_not_offered(database: Path, store: Store) -> None:
    hostile = ["a;reboot", "a $(x)", "a\nplain,b", "-rf /", "a`x`", "a'", "--force"]
    columns = [{"job_id": job_id} for job_id in hostile]
    databases.insert(
        database, [*columns, {"job_id": "good", "task_type": "x\n$(reboot)", "params": {"a b": 1, "c": 2}}]
    )
    assert glance.job_ids("") == [("good", r"x\n$(reboot), queued")]
    assert glance.parameters("x\n$(reboot)") == ["c="]


def test_parameters_of_earlier_jobs(place: databases.Place) -> None:
    params = [{"width": 1, "input_paths": []}, {"height": 2, "output_paths": []}, [1], {"huge": "x" * 10_000}]
    databases.insert(place, [{"job_id": str(n), "params": each} for n, each in enumerate(params)])
    assert glance.parameters("image_resize") == ["height=", "width="]
    assert glance.parameters("other") == []


def test_params_that_are_no_json_name_nothing(made_database: Path) -> None:
    databases.insert(made_database, [{"job_id": "2", "params": "no JSON"}, {"job_id": "3", "params": [1]}])
    assert glance.parameters("image_resize") == []


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.iterdir()}


def test_a_look_leaves_no_trace(made_database: Path) -> None:
    databases.insert(made_database, [{"job_id": "one"}])
    before = state_of(made_database.parent)
    assert (ids(), glance.worker_ids()) == (["one"], [])
    assert state_of(made_database.parent) == before


def test_what_is_only_in_the_log_yet_is_found(made_database: Path) -> None:
    with closing(sqlite3.connect(made_database)) as holder:
        databases.insert(made_database, [{"job_id": "fresh"}])
        holder.execute("SELECT * FROM jobs").fetchall()
        assert ids() == ["fresh"]


def test_a_folder_that_is_not_there_is_not_made(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CL_SERVER_DIR", str(database.parent / "new"))
    assert (ids(), glance.worker_ids(), glance.parameters("x")) == ([], [], [])
    assert list(database.parent.iterdir()) == []


@pytest.mark.parametrize(
    "environ",
    [
        {"CL_SERVER_DIR": ""},
        {"CL_SERVER_DIR": "x\udcff"},
        {"DATABASE_URL": "postgresql://127.0.0.1:1/b"},
        {"DATABASE_URL": "nonsense"},
    ],
)
def test_wrong_settings_offer_nothing(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert ids() == []


def test_files_that_are_no_database_offer_nothing(database: Path) -> None:
    database.write_bytes(b"no database" * 1000)
    assert (ids(), glance.worker_ids()) == ([], [])


def test_a_database_that_is_locked_offers_nothing(made_database: Path) -> None:
    databases.insert(made_database, [{"job_id": "one"}])
    with closing(sqlite3.connect(made_database, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("UPDATE jobs SET progress = 1")
        assert ids() == []


def test_a_server_that_says_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://127.0.0.1:{silent.getsockname()[1]}/media")
        assert ids() == []  # else it waits for ever
