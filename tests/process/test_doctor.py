"""``clworker doctor``: all is well or not there yet, nothing is left behind, and what is wrong with the worker."""

from pathlib import Path

import pytest

from clworker.core.clock import now_ms
from clworker.core.doctor import worker
from clworker.core.store.identity import Role
from clworker.core.store.store import Store
from tests.support.broker import Broker
from tests.support.diagnosis import diagnosis, states
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.watcher import CAPABILITY_TOPIC, Watcher, standing
from tests.support.workers import capability, registered

NAMES = [
    *("settings", "data-folder", "compute-folder", "media-folder", "allowed-folders", "free-space"),
    *("file-system", "database", "wal", "integrity", "generation", "claim", "clock", "snapshots", "stale-claims"),
    *("broker", "retained", "will", "plugins", "slot", "worker-id", "workers", "inotify"),
]


def content(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with what is in it."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_all_is_well_and_nothing_is_left_behind(
    seen_program: Program, command: InProcess, broker: Broker, made_database: Path, tmp_path: Path
) -> None:
    for folder in ("compute", "media"):
        (seen_program.server_dir / folder).mkdir()
    before = content(seen_program.server_dir)
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}+") as watcher:
        checks = diagnosis(command, 0, "-w", "w", CLWORKER_ALLOW_DIR=str(tmp_path))
    assert list(checks) == NAMES
    assert states(checks) == ["ok"] * len(NAMES)
    assert content(seen_program.server_dir) == before
    assert standing(broker.port) == {}
    assert watcher.seen == [], "whoever listens for workers hears nothing"


def test_what_is_not_there_yet_is_not_made(program: Program) -> None:
    checks = diagnosis(program, 0)
    assert checks["database"]["state"] == "warning"
    assert f"none yet at {program.server_dir}/media_store.db" in checks["database"]["found"]
    assert checks["claim"]["found"] == "there is no database yet"
    assert checks["broker"]["found"] == "BROADCAST_TYPE is noop: no broker is used"
    assert not program.server_dir.exists()


def test_the_table_has_a_line_for_each_check(command: InProcess) -> None:
    heading, _, *lines = command.ok("doctor").stdout.splitlines()
    assert heading.split()[:2] == ["STATE", "CHECK"]
    assert [line.split()[1] for line in lines] == NAMES
    assert {line.split()[0] for line in lines} == {"ok", "warning", "skipped"}
    (database,) = [line for line in lines if line.startswith("warning")]
    assert " → start a worker or submit a job" in database


def test_every_fault_of_the_settings_is_a_check_and_the_broker_is_looked_at(
    seen_program: Program, command: InProcess
) -> None:
    result = command.run("doctor", "-f", "json", DATABASE_URL="mysql://me:s3cret@h/x", WORKER_ID="a b")
    assert (result.code, result.stderr) == (1, "")
    first, second, *rest = result.json
    assert first["state"] == second["state"] == "failed"
    refused = "DATABASE_URL: 'mysql://me:***@h/x' is of no supported database; use a sqlite:/// or a postgresql:// URL"
    assert first["found"] == refused
    assert second["found"].startswith("WORKER_ID: 'a b' is not ")
    by_name = {check["name"]: check["state"] for check in rest}
    assert sorted(by_name) == sorted(NAMES[1:])
    assert {name for name, state in by_name.items() if state == "ok"} == {"broker", "retained", "will"}
    assert "s3cret" not in result.stdout


def test_plugins_that_cannot_be_used(command: InProcess, plugins: PluginFolder) -> None:
    plugins.install("broken", "import nothing_of_this_name", {"broken_task": "Task"})
    plugins.install("hanging", "import time; time.sleep(60)", {"hanging_task": "Task"})
    result = command.run("doctor", "-f", "json", CLWORKER_PLUGIN_TIMEOUT="3")
    assert result.code == 1
    told = [check for check in result.json if check["name"] == "plugin"]
    assert [check["state"] for check in told] == ["failed", "failed"]
    assert "'broken_task' of broken 1.0 is broken: " in told[0]["found"]
    assert "nothing_of_this_name" in told[0]["found"]
    assert "still being imported after 3 s" in told[1]["found"]
    (slot,) = [check for check in result.json if check["name"] == "slot"]
    assert slot["state"] == "ok", "the ready ones run all the same"


def test_a_broken_plugin_that_is_not_asked_for_is_a_warning(command: InProcess, plugins: PluginFolder) -> None:
    plugins.install("broken", "raise SystemExit(3)", {"broken_task": "Task"})
    checks = diagnosis(command, 0, WORKER_SUPPORTED_TASKS="image_resize")
    assert states(checks, "plugins", "plugin") == ["ok", "warning"]
    checks = diagnosis(command, 1, WORKER_SUPPORTED_TASKS="image_resize,image_resise")
    assert "'image_resise', which no plugin provides" in checks["plugins"]["found"]


def test_a_name_in_use_fails_only_who_asks_for_it(command: InProcess, store: Store) -> None:
    with registered(store, "w"):
        checks = diagnosis(command, 1, "-w", "w")
        assert "'w' is in use on host " in checks["worker-id"]["found"]
        assert states(diagnosis(command, 0, WORKER_ID="w"), "worker-id") == ["ok"]
    with registered(store, "w", Role.ONCE):  # of which there may be any number
        checks = diagnosis(command, 0, "-w", "w")
    assert states(checks, "worker-id", "stale-claims") == ["ok", "warning"]
    assert "worker 'w' on host " in checks["stale-claims"]["found"]


def test_a_name_that_stands_only_at_the_broker(seen_program: Program, command: InProcess, broker: Broker) -> None:
    with Watcher(broker.port, "none") as watcher:
        watcher.publish(f"{CAPABILITY_TOPIC}w", capability("w"), retain=True)
    checks = diagnosis(command, 0, "-w", "w")
    assert checks["worker-id"]["found"] == "'w' stands at the broker, but in no database of ours"
    assert list(standing(broker.port)) == ["w"]


def test_a_live_worker_that_is_silent_at_the_broker(
    seen_program: Program, command: InProcess, broker: Broker, store: Store
) -> None:
    with registered(store, "w"), Watcher(broker.port, "none") as watcher:
        watcher.publish(f"{CAPABILITY_TOPIC}w", capability("w"), retain=True)
        assert states(diagnosis(command, 0), "workers") == ["ok"]
        watcher.publish(f"{CAPABILITY_TOPIC}w", capability("w", timestamp=now_ms() - 600_000), retain=True)
        checks = diagnosis(command, 0)
    assert checks["workers"]["state"] == "warning"
    assert "silent at the broker for 10m: stopped, hanging or cut off" in checks["workers"]["found"]


def test_without_inotify(command: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(folder: str) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(worker, "FolderWatch", exhausted)  # the real limit is every program's of this user
    checks = diagnosis(command, 0)
    assert checks["inotify"]["state"] == "warning"
    assert "Too many open files" in checks["inotify"]["found"]
