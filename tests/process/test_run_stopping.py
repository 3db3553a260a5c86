"""``clworker run`` stops when asked: the first signal drains, the second returns jobs at once, nothing stays behind."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import databases
from tests.support.plugins import PluginFolder
from tests.support.processes import descendants_of, lives
from tests.support.program import Result
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker, Worker

# A task that has written half of its output, and ends when the gate opens.
HALF_DONE = """
if "LEAVE_GROUP" in os.environ:
    os.setpgid(0, os.getpgid(os.getppid()))
Path(params.output_paths[0]).write_bytes(b"half")
progress_callback(40)
while not os.path.exists({gate!r}):
    time.sleep(0.01)
return {{"status": "ok", "task_output": {{}}}}
"""


def _check_nothing_is_left(database: Path) -> None:
    """Fail when the end of a worker left a lock, an attempt's folder, an open attempt or a live instance."""
    assert list((database.parent / "clworker-locks").iterdir()) == []
    assert list(database.parent.rglob(".clworker-*")) == []
    for table in ("clworker_attempts", "clworker_instances"):
        assert databases.rows(database, f"SELECT * FROM {table} WHERE ended_at IS NULL") == []


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def half_done(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, picture: Path, gate: Path
) -> "StartHalfDone":
    """Starts a worker and waits until its job ``a`` has written half of its output; ``b`` waits behind it."""
    plugins.install_task("half", HALF_DONE.format(gate=str(gate)))
    compute = database.parent / "compute"
    compute.mkdir()
    source = compute / "photo.jpg"
    source.write_bytes(picture.read_bytes())
    params = {"input_paths": [str(source)], "output_paths": [str(compute / "out" / "photo.jpg")]}
    databases.queue(database, *({"job_id": job, "task_type": "half", "params": params} for job in "ab"))
    return StartHalfDone(start_worker, compute)


class StartHalfDone:
    def __init__(self, start: StartWorker, compute: Path) -> None:
        self._start = start
        self._compute = compute

    def __call__(self, *args: str, **changes: str) -> Worker:
        worker = self._start(*args, **changes)
        wait_until(lambda: [*self._compute.rglob(".clworker-*/photo.jpg")], "the task has written something")
        return worker


def _jobs(database: Path) -> dict[str, Any]:
    return {row["job_id"]: row for row in databases.rows(database, "SELECT * FROM jobs")}


def _causes(database: Path) -> list[str]:
    return [row["cause"] for row in databases.rows(database, "SELECT cause FROM clworker_attempts ORDER BY id")]


def test_an_idle_worker_ends_at_once(start_worker: StartWorker, database: Path) -> None:
    worker = start_worker("--poll-interval", "300", "-c", "2")
    known = [worker.pid, *descendants_of(worker.pid)]
    result = worker.stop()
    assert (result.code, result.stdout, result.errors) == (0, "", [])
    assert [line["event"] for line in result.log] == ["worker started", "worker stops"]
    assert len(known) == 4 and not any(map(lives, known))
    _check_nothing_is_left(database)


def test_ctrl_c_lets_the_running_job_end_and_claims_nothing_more(
    half_done: StartHalfDone, database: Path, gate: Path
) -> None:
    worker = half_done()
    os.killpg(worker.pid, signal.SIGINT)  # a terminal sends it to the whole group
    worker.wait_for("worker stops", running=1)
    gate.touch()

    result = worker.result()
    assert (result.code, result.errors) == (0, [])
    jobs = _jobs(database)
    assert (jobs["a"]["status"], jobs["b"]["status"]) == ("completed", "queued")
    assert _causes(database) == ["completed"]
    assert (database.parent / "compute" / "out" / "photo.jpg").read_bytes() == b"half"
    _check_nothing_is_left(database)


def _check_returned(result: Result, database: Path, code: int, errors: Sequence[str]) -> None:
    """Fail unless the running job stands in the queue as if it had never been claimed."""
    assert (result.code, result.errors) == (code, errors)
    job = _jobs(database)["a"]
    assert (job["status"], job["retry_count"], job["progress"]) == ("queued", 0, 0)
    assert _causes(database) == ["stopped"]
    assert not (database.parent / "compute" / "out" / "photo.jpg").exists()
    _check_nothing_is_left(database)


def test_a_job_that_outlasts_the_drain_timeout_goes_back_uncounted(half_done: StartHalfDone, database: Path) -> None:
    worker = half_done("--drain-timeout", "0.3", LEAVE_GROUP="1")  # a slot that left its process group ends as well
    _check_returned(worker.stop(), database, 0, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_returns_the_job_at_once(
    half_done: StartHalfDone, database: Path, number: signal.Signals
) -> None:
    worker = half_done("--drain-timeout", "300")
    worker.send(signal.SIGTERM)
    worker.wait_for("worker stops")
    result = worker.stop(number)
    _check_returned(result, database, 128 + number, [f"stopped by a second {number.name}"])


def test_a_stop_while_the_database_is_locked_costs_no_retry(half_done: StartHalfDone, database: Path) -> None:
    worker = half_done("--drain-timeout", "300")
    with databases.locked(database):
        worker.send(signal.SIGTERM)
        worker.wait_for("worker stops")
        worker.send(signal.SIGTERM)
        # Each statement before it waits out SQLite's busy time-out first.
        trying = "database out of reach; trying again until it is back"
        wait_until(lambda: worker.logged(trying), "the job's return has failed once", timeout=60)
    _check_returned(worker.result(), database, 143, ["stopped by a second SIGTERM"])


def test_the_end_is_noted_once_a_lock_on_the_database_is_gone(start_worker: StartWorker, database: Path) -> None:
    worker = start_worker("--poll-interval", "300")
    with databases.locked(database):
        worker.send(signal.SIGTERM)
        worker.wait_for("worker stops")
    result = worker.result()
    assert (result.code, [line["level"] for line in result.log]) == (0, ["info", "info"])
    _check_nothing_is_left(database)


def test_a_signal_ends_a_worker_whose_plugins_still_load(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    loading = tmp_path / "loading"
    source = f"""
        import pathlib, time
        pathlib.Path({str(loading)!r}).touch()
        time.sleep(3600)
        """
    plugins.install("slow", source, {"slow": "Task"})
    worker = start_worker.without_waiting(CLWORKER_PLUGIN_TIMEOUT="300")
    wait_until(loading.exists, "the plugin is being imported")
    known = [worker.pid, *descendants_of(worker.pid)]

    result = worker.stop()
    assert (result.code, result.stdout, result.stderr) == (0, "", "")
    assert not any(map(lives, known))
    assert list((database.parent / "clworker-locks").iterdir()) == []


def test_a_signal_while_slots_are_replaced_claims_nothing_more(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, gate: Path
) -> None:
    gate.touch()
    plugins.install_gated("gated", gate)
    module = plugins.path / "plugin_gated.py"
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n"
    module.write_text(wait + module.read_text())
    worker = start_worker()
    gate.unlink()
    nursery = worker.nursery
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: not lives(nursery), "the process that holds the plugins has died")
    databases.queue(database, {"job_id": "nudge", "task_type": "unknown"})  # a commit, but nothing to claim
    worker.wait_for("the process that holds the plugins has died; starting it again")
    databases.queue(database, {"job_id": "a", "task_type": "gated"})

    worker.send(signal.SIGTERM)
    gate.touch()
    assert worker.result().code == 0
    assert not worker.logged("job started")
    assert _jobs(database)["a"]["status"] == "queued"
    _check_nothing_is_left(database)


def test_a_worker_that_fails_at_its_start_leaves_nothing_behind(start_worker: StartWorker, database: Path) -> None:
    result = start_worker.without_waiting("-t", "image_resiez").result()
    assert result.code == 2
    assert "did you mean 'image_resize'?" in result.errors[0]
    _check_nothing_is_left(database)
