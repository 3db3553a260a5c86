"""Workers that nobody can prove dead (invariant 3): judged by heartbeats, and at home again when they return."""

import signal
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.broker import Broker
from tests.support.plugins import PluginFolder
from tests.support.processes import wait_until_gone
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Watcher
from tests.support.worker import StartWorker

HEARTBEAT = {"MQTT_HEARTBEAT_INTERVAL": "1"}
GIVEN_UP = "this worker was silent and given up for dead; its jobs went to others, and it goes on"


def install_writer(plugins: PluginFolder, gate: Path) -> None:
    """A task that says that it runs, and writes its pid once the gate is open."""
    plugins.install_task(
        "write",
        f"""
        gate = Path({str(gate)!r})
        (gate.parent / f"started-{{os.getpid()}}").touch()
        while not gate.exists():
            time.sleep(0.01)
        try:
            Path(params.output_paths[0]).write_text(str(os.getpid()))
        finally:
            (gate.parent / f"ended-{{os.getpid()}}").touch()
        return {{"status": "ok", "task_output": {{"pid": os.getpid()}}}}
        """,
    )


@pytest.fixture
def writing(database: Path, plugins: PluginFolder, tmp_path: Path) -> tuple[Path, Path]:
    """A queued job that writes a file; its gate and its output."""
    gate, output = tmp_path / "gate", database.parent / "compute/out.txt"
    output.parent.mkdir()
    source = output.with_name("in.txt")
    source.touch()
    install_writer(plugins, gate)
    plugins.install_plain("quick", 'return {"status": "ok"}')
    paths = {"input_paths": [str(source)], "output_paths": [str(output)]}
    databases.queue(database, {"job_id": "a", "task_type": "write", "params": paths})
    return gate, output


def slots_at(folder: Path, step: str) -> list[int]:
    return [int(path.name.removeprefix(f"{step}-")) for path in folder.glob(f"{step}-*")]


def test_a_stopped_worker_loses_its_job_and_goes_on_with_others_when_it_is_continued(
    start_worker: StartWorker, writing: tuple[Path, Path], database: Path, tmp_path: Path
) -> None:
    gate, output = writing
    stopped = start_worker("-w", "worker-1", **HEARTBEAT)
    (old_slot,) = wait_until(lambda: slots_at(tmp_path, "started"), "the job runs")
    stopped.send(signal.SIGSTOP)  # its slot and its nursery go on

    rescuer = start_worker("-w", "worker-2", **HEARTBEAT)
    rescuer.wait_for("job of a dead worker rescued", job_id="a", proof="heartbeats", worker="worker-1")
    wait_until(lambda: len(slots_at(tmp_path, "started")) == 2, "the job runs again")
    gate.touch()  # for both at once: the old slot ends first or last
    (job,) = rescuer.wait_for_jobs("a")
    wait_until(lambda: len(slots_at(tmp_path, "ended")) == 2, "the old slot has tried to write too")
    (new_slot,) = set(slots_at(tmp_path, "started")) - {old_slot}
    stopped.send(signal.SIGCONT)

    stopped.wait_for(GIVEN_UP)
    (loss,) = stopped.wait_for("claim lost; the attempt is not recorded")
    assert loss["job_id"] == "a"
    assert databases.rows(database, "SELECT * FROM jobs") == [job]
    assert (output.read_text(), job["retry_count"]) == (str(new_slot), 1)
    assert not list(output.parent.glob(".clworker-*"))

    assert rescuer.stop().code == 0
    databases.queue(database, {"job_id": "b", "task_type": "quick"})
    stopped.wait_for_jobs("b")
    result = stopped.stop()
    assert result.code == 0
    events = [line["event"] for line in result.log]
    assert (events.count(GIVEN_UP), events.count(loss["event"])) == (1, 1)


def test_a_worker_that_returns_to_a_job_still_running_elsewhere_ends_its_slot(
    start_worker: StartWorker, writing: tuple[Path, Path], database: Path, tmp_path: Path
) -> None:
    gate, _ = writing
    stopped = start_worker("-w", "worker-1", **HEARTBEAT)
    (old_slot,) = wait_until(lambda: slots_at(tmp_path, "started"), "the job runs")
    stopped.send(signal.SIGSTOP)
    rescuer = start_worker("-w", "worker-2", **HEARTBEAT)
    rescuer.wait_for("job started", job_id="a")

    stopped.send(signal.SIGCONT)
    stopped.wait_for("claim lost; the attempt is not recorded", job_id="a")
    wait_until_gone([old_slot])
    gate.touch()
    (job,) = rescuer.wait_for_jobs("a")
    assert job["retry_count"] == 1


def test_a_stopped_worker_whose_name_has_gone_to_another_ends_when_it_is_continued(
    start_worker: StartWorker, writing: tuple[Path, Path], database: Path
) -> None:
    stopped = start_worker("-w", "worker-1", "-t", "quick", **HEARTBEAT)
    other = start_worker("-w", "worker-2", "-t", "quick", **HEARTBEAT)
    stopped.send(signal.SIGSTOP)

    def given_up() -> bool:
        rows = databases.rows(database, "SELECT * FROM clworker_instances WHERE worker_id = 'worker-1'")
        return rows[0]["ended_at"] is not None

    wait_until(given_up, "the stopped worker is given up")
    heir = start_worker("-w", "worker-1", "-t", "quick", **HEARTBEAT)
    stopped.send(signal.SIGCONT)
    result = stopped.result()
    assert (result.code, result.errors) == (2, ["another worker has taken over the name 'worker-1'"])
    for worker in (heir, other):
        assert worker.stop().code == 0


@pytest.mark.parametrize("of_another", ["boot_id", "lock_path"])
def test_the_jobs_of_a_dead_worker_of_another_host_are_rescued_by_its_silence(
    start_worker: StartWorker, writing: tuple[Path, Path], database: Path, tmp_path: Path, of_another: str
) -> None:
    gate, _ = writing
    dead = start_worker("-w", "worker-1", "-t", "write", **HEARTBEAT)
    wait_until(lambda: slots_at(tmp_path, "started"), "the job runs")
    databases.execute(database, f"UPDATE clworker_instances SET {of_another} = '/elsewhere'")
    dead.send(signal.SIGKILL)
    dead.result()
    gate.touch()

    rescuer = start_worker("-w", "worker-2", **HEARTBEAT)
    rescuer.wait_for("job of a dead worker rescued", proof="heartbeats")
    (job,) = rescuer.wait_for_jobs("a")
    assert job["retry_count"] == 1
    registered = databases.rows(database, "SELECT worker_id FROM clworker_instances WHERE ended_at IS NULL")
    assert registered == [{"worker_id": "worker-2"}]


def test_the_message_of_a_worker_that_fell_silent_is_removed_and_comes_back_with_it(
    seen_program: Program, start_worker: StartWorker, writing: tuple[Path, Path], broker: Broker
) -> None:
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher:
        stopped = start_worker("-w", "worker-1", "-t", "quick", **HEARTBEAT)
        watcher.wait_for_state("worker-1", 1)
        start_worker("-w", "worker-2", "-t", "quick", **HEARTBEAT)
        stopped.send(signal.SIGSTOP)
        watcher.wait_for_state("worker-1", None)
        stopped.send(signal.SIGCONT)
        watcher.wait_for_state("worker-1", 1)
