"""TAB in real shells: bash and zsh at a terminal of their own, fish by its own command for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clworker.core.store.identity import Instance, LockFile, Role
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.program import PROGRAM, Program
from tests.support.shells import SHELLS, Shell

COMMANDS = {"jobs", "run", "once", "workers", "list-tasks", "clear-capability"}
FILES = {"photo.jpg", "folder"}
OFFERS = {
    "jobs submit image_r": {"image_resize"},
    "jobs submit image_resize ": FILES,
    "jobs submit image_resize ph": {"photo.jpg"},
    "jobs submit image_resize -p w": {"width="},
    "jobs submit image_resize --wid": {"--width"},
    "jobs submit image_resize --width 8 ph": {"photo.jpg"},
    "jobs submit image_resize --output-dir ": {"folder"},
    "jobs --status q": {"queued"},
    "jobs list --status=q": {"queued"},
    "jobs -f js": {"json", "jsonl"},
    "jobs list --format=js": {"json", "jsonl"},
    "jobs show ab": {"ab11", "ab22"},
    "jobs cancel ab": {"ab11"},
    "run --tasks=image_resize,": {"image_resize,image_conversion"},
    "run --mqtt-ca=ph": {"photo.jpg"},
    "--log-level W": {"WARNING"},
    "clear-capability w": {"worker-7"},
    "jobs cancel $(touch made) ab": {"ab11"},
    "jobs show zz": set(),
}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, program: Program, tmp_path: Path) -> Iterator[Shell]:
    """A shell in a folder with a few files, with the program on its path."""
    environ = program.environment()
    environ["PATH"] = f"{Path(PROGRAM).parent}:{environ['PATH']}"
    with SHELLS[request.param](environ, tmp_path / "shell") as shell:
        (shell.here / "photo.jpg").touch()
        (shell.here / "folder").mkdir()
        yield shell


def test_tab_offers_what_fits(shell: Shell, database: Path, store: Store) -> None:
    jobs = {"ab11": "queued", "ab22": "completed", "b;touch made": "queued"}
    rows = [{"job_id": job_id, "status": status, "params": {"width": 1}} for job_id, status in jobs.items()]
    databases.insert(database, rows)
    store.instances.register(Instance.new("worker-7", Role.RUN, 30.0), LockFile("/x", 1, 1))
    assert shell.offers("clworker ") >= COMMANDS
    assert {line: shell.offers(f"clworker {line}") for line in OFFERS} == OFFERS
    assert shell.offers(f"{PROGRAM} jobs show a") == {"ab11", "ab22"}
    assert {path.name for path in shell.here.iterdir()} == FILES


def test_tab_keeps_quiet_where_nothing_can_be_found(shell: Shell, program: Program) -> None:
    assert shell.offers("clworker jobs show ") == set()
    assert shell.offers("clworker bogus --option ") == set()
    assert shell.offers("/nowhere/clworker jo") == set()
    assert not program.server_dir.exists()
    assert "Error" not in shell.shown and "nowhere: " not in shell.shown
