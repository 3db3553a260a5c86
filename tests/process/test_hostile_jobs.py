"""Jobs that are meant to do harm, in a worker that also has honest ones: those go on, and nothing else happens."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from clworker.core.presence.messages import LARGEST
from tests.support import databases
from tests.support.broker import Broker
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.watcher import CAPABILITY_TOPIC, Watcher
from tests.support.worker import StartWorker
from tests.support.workers import capability

HUGE = 40_000_000
TOO_LARGE = "params are not a JSON object: 'larger than the 4 MiB that clworker reads'"


def insert_wild(database: Path, rows: list[dict[str, Any]]) -> None:
    """Insert rows into a table without the constraints that sound programs rely on."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(databases.CURRENT.replace(" NOT NULL", ""))
        connection.commit()
    databases.insert(database, rows)


def test_rows_that_no_program_would_write_stop_nobody(program: Program, database: Path, picture: Path) -> None:
    media = program.server_dir / "media"
    media.mkdir()
    photo(media / "photo.jpg")
    sound = {
        "width": 5,
        "height": 5,
        "input_paths": [str(media / "photo.jpg")],
        "output_paths": [str(program.server_dir / "compute/out.jpg")],
    }
    wild: list[dict[str, Any]] = [
        {
            "job_id": "text for numbers",
            "priority": "high",
            "created_at": "today",
            "retry_count": "x",
            "max_retries": "",
        },
        {"job_id": "no numbers", "priority": None, "created_at": None, "retry_count": None, "max_retries": None},
        {"job_id": "end of time", "started_at": 2**63 - 1, "created_at": 1e300, "priority": float("inf")},
        {"job_id": b"\x00bytes"},
        {"job_id": "../.."},
        {"job_id": "a/../../b\x1b[2J\n\u202e"},
        {"job_id": "list", "params": "[]"},
        {"job_id": "number", "params": "7"},
        {"job_id": "not a number", "params": '{"width": NaN, "height": 1e999}'},
        {"job_id": "endless number", "params": '{"width": ' + "9" * 5000 + "}"},
        {"job_id": "deep", "params": '{"a":' * 100_000 + "1" + "}" * 100_000},
    ]
    insert_wild(database, [*wild, {"job_id": "sound", "params": sound, "priority": -5}])
    drained = program.drain()
    rows = databases.rows(database, "SELECT job_id, status, error_message, started_at FROM jobs")
    ends = {row["job_id"]: row["status"] for row in rows}
    assert ends == {**{row["job_id"]: "error" for row in wild}, "sound": "completed"}
    nameless = next(row for row in rows if isinstance(row["job_id"], bytes))
    assert nameless["error_message"] == "the job's id is no text: no program can name the job, and none can run it"
    assert drained.job("deep")["error_message"].startswith("params are not a JSON object: ")
    assert sorted(path.name for path in program.server_dir.parent.iterdir()) == ["photo.jpg", "plugins", "server"]
    assert [path.name for path in (program.server_dir / "compute").iterdir()] == ["out.jpg"]


def test_forty_megabytes_of_params_cost_their_own_job_alone(
    program: Program, command: InProcess, database: Path, start_worker: StartWorker, broker: Broker
) -> None:
    program.environ.update(broker.environ)
    databases.create(database, "current")
    # Crowded: decoded, every three bytes would become a list of 56.
    databases.insert(database, [{"job_id": "huge", "params": f"[{'[],' * (HUGE // 3)}0]", "created_at": 1}])
    databases.insert(database, [{"job_id": "next"}])
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher:
        worker = start_worker("-w", "w", MQTT_HEARTBEAT_INTERVAL="0.2")
        assert [line["job_id"] for line in worker.wait_for("job failed", 2)] == ["huge", "next"]
        beats = len(watcher.capability("w"))
        watcher.wait_for(lambda it: len(it.capability("w")) > beats + 2, "it goes on beating")
    peak = next(line for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) < 300_000, f"KiB, of which SQLite itself needs some: {peak}"
    assert worker.stop().code == 0
    shown = command.ok("jobs", "show", "huge", "-f", "json").json
    assert (shown["error_message"], shown["params"]) == (TOO_LARGE, TOO_LARGE.split("'")[1])
    for args in (["jobs"], ["jobs", "-f", "json"]):
        assert len(command.ok(*args).stdout) < 10_000


def test_two_jobs_with_one_output_leave_the_whole_of_one(
    program: Program, plugins: PluginFolder, database: Path, start_worker: StartWorker, tmp_path: Path
) -> None:
    plugins.install_task(
        "writes",
        """
        output = Path(params.output_paths[0])
        with output.open("wb") as file:
            file.write(b"first half of " + job.job_id.encode())
            file.flush()
            Path(MARKS, job.job_id).touch()
            while len(list(Path(MARKS).iterdir())) < 2:
                time.sleep(0.005)
            file.write(b", and the second")
        return {"status": "ok", "task_output": {}}
        """,
        header=f"MARKS = {str(tmp_path / 'marks')!r}",
    )
    (tmp_path / "marks").mkdir()
    media = program.server_dir / "media"
    media.mkdir(parents=True)
    (media / "in").write_text("in")
    output = program.server_dir / "compute/out"
    params = {"input_paths": [str(media / "in")], "output_paths": [str(output)]}
    databases.queue(database, *({"job_id": name, "task_type": "writes", "params": params} for name in "ab"))
    worker = start_worker("-c", "2")
    worker.wait_for_jobs("a", "b")
    assert worker.stop().code == 0
    assert output.read_bytes() in (b"first half of a, and the second", b"first half of b, and the second")
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_strangers_at_the_broker_disturb_neither_a_worker_nor_a_listing(
    program: Program, command: InProcess, database: Path, start_worker: StartWorker, broker: Broker
) -> None:
    program.environ.update(broker.environ)
    databases.create(database, "current")
    big = json.dumps(capability("big", more="x" * 5_000_000)).encode()
    strange = {
        "big": big,
        "deep": b"[" * 1_000_000,
        "bytes": b"\xff\xfe\x00",
        "spaces and é \U0001f600": b"{}",
        "": b"7",
    }
    worker = start_worker("-w", "w", "--poll-interval", "600")
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher:
        for name, payload in strange.items():
            watcher.publish(CAPABILITY_TOPIC + name, payload, retain=True)
            watcher.publish("cl_server", payload)
        for event in (b'{"event_type": "queued", "x": "' + b"y" * LARGEST + b'"}', b'"queued"' + b"[" * 100_000):
            watcher.publish("cl_server", event)
        views = {view["worker_id"]: view for view in command.ok("workers", "-f", "json").json}
        assert set(views) == {*strange, "w"}
        assert views["w"]["idle_count"] == 1
        assert views["big"]["note"].endswith("; it is larger than 64 KiB")
        databases.insert(database, [{"job_id": "next"}])
        worker.wait_for_jobs("next", status="error")
        result = command.ok("clear-capability", "--stale", "-f", "json", MQTT_HEARTBEAT_INTERVAL="0.2")
    cleared = {line["worker_id"]: line for line in result.json}
    assert {name for name, line in cleared.items() if line["action"] == "cleared"} == set(strange)
    assert max(len(line["payload"] or "") for line in cleared.values()) <= 300
    assert worker.logged("MQTT broker is out of reach; jobs go on") == []
    assert worker.stop().code == 0


def test_a_task_that_writes_into_its_channel_loses_its_slot_and_no_more(
    program: Program, plugins: PluginFolder, database: Path
) -> None:
    forged = {
        "not_json": b"\0\0\0\4nope",
        "no_object": b"\0\0\0\1" + b"7",
        "no_fields": b"\0\0\0\x12" + b'{"type":"outcome"}',
        "endless": b"\xff\xff\xff\xff",
    }
    for name, data in forged.items():
        plugins.install_plain(
            name,
            f"""
            import stat
            for fd in range(3, 64):
                try:
                    if stat.S_ISSOCK(os.fstat(fd).st_mode):
                        os.write(fd, {data!r})
                except OSError:
                    pass
            time.sleep(60)
            """,
        )
    databases.queue(database, *({"job_id": name, "task_type": name, "max_retries": 0} for name in forged))
    drained = program.drain()
    for name in forged:
        assert drained.job(name)["error_message"].startswith("the process that ran the job was killed by SIGKILL")
        assert drained.logged(name, "the slot is ended: its task has broken the channel")
