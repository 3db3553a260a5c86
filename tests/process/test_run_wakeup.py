"""``clworker run`` takes a job when it is queued; the poll, set to five minutes here, is only the backstop."""

from contextlib import closing
from pathlib import Path

import paho.mqtt.publish
import pytest

from clworker.core.store.store import Store
from tests.support import databases
from tests.support.plugins import PluginFolder
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker, Worker

BACKSTOP = ("--poll-interval", "300")

# Neither a kernel without inotify nor a commit that goes unnoticed can be had on demand.
NO_INOTIFY = """
import clworker.core.worker.inotify as inotify

def refused(folder):
    raise OSError(24, "Too many open files")

inotify.FolderWatch = refused
"""
BLIND_TO_COMMITS = """
from clworker.core.store.changes import ChangeProbe

ChangeProbe.changed = lambda probe: False
"""


def _ended(worker: Worker) -> list[str]:
    return [line["job_id"] for line in worker.logged("job completed")]


@pytest.mark.parametrize("linked", [False, True], ids=["plain", "database behind a link"])
def test_a_commit_of_another_process_wakes_the_worker_which_empties_the_queue_in_order(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path, linked: bool
) -> None:
    plugins.install_plain("quick", 'return {"status": "ok"}')
    if linked:
        (tmp_path / "elsewhere").mkdir()
        databases.create(tmp_path / "elsewhere" / "real.db", "current")
        database.symlink_to(tmp_path / "elsewhere" / "real.db")
    worker = start_worker(*BACKSTOP)
    assert not worker.logged("no inotify; looking at the database all the time")

    databases.queue(database, {"job_id": "alone", "task_type": "quick"})
    worker.wait_for_jobs("alone")

    age_and_priority = {"last": (1, 0), "third": (7, 5), "first": (9, 10), "second": (3, 5), "fourth": (8, 5)}
    databases.queue(
        database,
        *(
            {"job_id": job, "task_type": "quick", "created_at": created_at, "priority": priority}
            for job, (created_at, priority) in age_and_priority.items()
        ),
    )
    worker.wait_for_jobs(*age_and_priority)
    worker.wait_for("job completed", job_id="last")
    assert _ended(worker) == ["alone", "first", "second", "third", "fourth", "last"]


def test_without_inotify_the_worker_says_so_and_looks_all_the_time(
    start_worker: StartWorker, plugins: PluginFolder, database: Path
) -> None:
    (plugins.path / "sitecustomize.py").write_text(NO_INOTIFY)
    plugins.install_plain("quick", 'return {"status": "ok"}')
    worker = start_worker(*BACKSTOP)
    (warning,) = worker.wait_for("no inotify; looking at the database all the time")
    assert (warning["level"], warning["reason"]) == ("warning", "[Errno 24] Too many open files")

    for job in ("first", "second"):
        databases.queue(database, {"job_id": job, "task_type": "quick"})
        worker.wait_for_jobs(job)


@pytest.fixture(params=["sqlite", "postgresql"])
def foreign_place(request: pytest.FixtureRequest, database: Path) -> databases.Place:
    """A database of either kind that another program has made, and in which it queues jobs."""
    place: databases.Place = database if request.param == "sqlite" else request.getfixturevalue("server_place")
    databases.create(place, "current")
    return place


def test_a_queued_event_wakes_the_worker(
    start_worker: StartWorker, plugins: PluginFolder, foreign_place: databases.Place, broker_port: int
) -> None:
    """As do the services, whose inserts notify nobody at a server."""
    database = foreign_place
    (plugins.path / "sitecustomize.py").write_text(BLIND_TO_COMMITS)
    plugins.install_plain("quick", 'return {"status": "ok"}')
    worker = start_worker(
        *BACKSTOP, BROADCAST_TYPE="mqtt", MQTT_PORT=str(broker_port), MQTT_TOPIC="t", MQTT_HEARTBEAT_INTERVAL="0.1"
    )

    def beats() -> int:
        heartbeat: int = databases.rows(database, "SELECT heartbeat FROM clworker_instances")[0]["heartbeat"]
        return heartbeat

    def publish(payload: str) -> None:
        paho.mqtt.publish.single("t", payload, qos=1, hostname="127.0.0.1", port=broker_port)

    wait_until(beats, "the look at the queue with which every worker begins is over")
    databases.insert(database, [{"job_id": "a", "task_type": "quick"}])
    for meaningless in ('{"event_type": "completed", "job_id": "queued"}', 'no JSON, but "queued"', '["queued"]'):
        publish(meaningless)
    seen = beats()
    wait_until(lambda: beats() > seen + 3, "the worker lives on")
    assert not _ended(worker)

    publish('{"job_id": "a", "event_type": "queued", "progress": 0, "timestamp": 1}')
    worker.wait_for_jobs("a")


def test_without_any_event_the_next_poll_finds_a_job_at_a_server(
    start_worker: StartWorker, plugins: PluginFolder, server_place: databases.Place
) -> None:
    databases.create(server_place, "first")
    plugins.install_plain("quick", 'return {"status": "ok"}')
    worker = start_worker("--poll-interval", "0.2")
    for job_id in ("a", "b"):
        databases.insert(server_place, [{"job_id": job_id, "task_type": "quick"}])
        worker.wait_for_jobs(job_id)


def test_a_worker_waits_for_a_locked_database_and_resumes(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugins.install_plain("quick", 'return {"status": "ok"}')
    plugins.install_gated("gated", gate)
    databases.queue(database, {"job_id": "running", "task_type": "gated"})
    worker = start_worker(*BACKSTOP, "-w", "busy", "-c", "2")
    leaving = start_worker(*BACKSTOP, "-w", "leaving", "-t", "image_resize")
    worker.wait_for("job started")
    databases.queue(database, {"job_id": "waiting", "task_type": "quick"})
    worker.wait_for_jobs("waiting")

    with closing(Store(f"sqlite:///{database}")) as store, databases.locked(database):
        gate.touch()
        result = leaving.stop()
        worker.wait_for("database out of reach; trying again until it is back")
        registered = {record.worker_id: record.alive for record in store.instances.live()}
    assert (result.code, result.stdout, result.errors) == (0, "", [])
    assert [line["level"] for line in result.log if line["event"] == "the worker's end could not be noted"] == [
        "warning"
    ]
    assert registered == {"busy": True, "leaving": False}

    worker.wait_for_jobs("running")
    databases.queue(database, {"job_id": "afterwards", "task_type": "quick"})
    worker.wait_for_jobs("afterwards")
    troubles = [line["event"] for line in worker.log if line["event"].startswith("database")]
    assert troubles == ["database out of reach; trying again until it is back", "database is back"]
    wait_until(lambda: len(list((database.parent / "clworker-locks").iterdir())) == 1, "the dead one is cleared away")
