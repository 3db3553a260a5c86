"""``clworker run``: so many slots, each replaced when it dies or wears out, and no process left behind."""

import json
import os
import signal
from pathlib import Path

from tests.support import databases
from tests.support.plugins import PluginFolder, wait_at_gate
from tests.support.processes import children_of, descendants_of, lives, wait_until_gone
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker

WAYS_TO_END = {
    "fine": None,
    "exits": "the process that ran the job ended with exit code 3",
    "crashes": "the process that ran the job was killed by SIGSEGV",
    "leaves a fork and exits": "the process that ran the job ended with exit code 4",
    "raises SystemExit": "the task called sys.exit(5)",
    "fine at last": None,
}


def _pid(row: dict[str, str]) -> int:
    pid: int = json.loads(row["output"])["pid"]
    return pid


def test_so_many_jobs_run_at_once_as_there_are_slots(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    jobs = [f"job-{number}" for number in range(5)]
    databases.queue(database, *({"job_id": job, "task_type": "gated"} for job in jobs))

    worker = start_worker("-c", "3")
    worker.wait_for("job started", count=3)
    assert len(children_of(worker.nursery)) == 3
    waiting = databases.rows(database, "SELECT job_id FROM jobs WHERE status = 'queued' ORDER BY id")
    assert [row["job_id"] for row in waiting] == jobs[3:]

    gate.touch()
    pids = [_pid(row) for row in worker.wait_for_jobs(*jobs)]
    assert len(set(pids[:3])) == 3
    assert set(pids[3:]) <= set(pids[:3])


def test_an_idle_slot_that_dies_is_replaced_though_nothing_is_queued(start_worker: StartWorker) -> None:
    worker = start_worker("--poll-interval", "300")
    (idle,) = wait_until(lambda: children_of(worker.nursery), "the slot is there")
    os.kill(idle, signal.SIGKILL)
    wait_until(lambda: children_of(worker.nursery) not in ([], [idle]), "another slot stands in its place")


def test_a_slot_that_dies_is_replaced_whatever_its_task_did(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    orphan = tmp_path / "orphan"
    plugins.install_plain(
        "odd",
        f"""
        if params.way == "exits":
            os._exit(3)
        if params.way == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if params.way == "raises SystemExit":
            raise SystemExit(5)
        if params.way == "leaves a fork and exits":
            if os.fork() == 0:
                os.setsid()
                Path({str(orphan)!r}).write_text(str(os.getpid()))
                while True:
                    signal.pause()
            while not os.path.exists({str(orphan)!r}):
                time.sleep(0.01)
            os._exit(4)
        print("printed", params.way)
        os.write(1, b"written\\n")
        return {{"status": "ok", "task_output": {{"pid": os.getpid()}}}}
        """,
        way="str",
    )
    rows = [{"job_id": way, "task_type": "odd", "params": {"way": way}, "max_retries": 0} for way in WAYS_TO_END]
    databases.queue(database, *rows)

    worker = start_worker("--poll-interval", "300")
    for way, message in WAYS_TO_END.items():
        (row,) = worker.wait_for_jobs(way, status="completed" if message is None else "error")
        assert (row["error_message"] or "").startswith(message or "")
    worker.wait_for("task output", line="printed fine at last")
    worker.wait_for("task output", line="written", job_id="fine")
    grandchild = int(orphan.read_text())

    result = worker.stop()
    assert (result.code, result.stdout) == (0, "")
    assert not lives(grandchild)


def test_a_slot_is_recycled_between_jobs_by_their_number_and_by_its_memory(
    start_worker: StartWorker, plugins: PluginFolder, database: Path
) -> None:
    plugins.install_plain(
        "greedy",
        """
        self.kept = b"x" * (params.mib << 20)
        return {"status": "ok", "task_output": {"pid": os.getpid()}}
        """,
        mib="int",
    )
    sizes = [1, 1, 1, 1, 200, 1]
    jobs = [f"job-{number}" for number in range(len(sizes))]
    rows = zip(jobs, sizes, strict=True)
    databases.queue(database, *({"job_id": job, "task_type": "greedy", "params": {"mib": mib}} for job, mib in rows))

    worker = start_worker("--max-jobs-per-slot", "2", "--max-memory-per-slot", "150", "--poll-interval", "300")
    pids = [_pid(row) for row in worker.wait_for_jobs(*jobs)]

    first, second, third, fourth = dict.fromkeys(pids)
    assert pids == [first, first, second, second, third, fourth]
    assert [line.get("jobs") for line in worker.logged("slot recycled")][:3] == [2, 2, None]
    assert worker.logged("slot recycled")[2]["memory_mib"] > 200
    wait_until_gone((first, second, third))


def test_when_the_nursery_is_killed_its_jobs_run_again_in_a_new_one(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    databases.queue(database, *({"job_id": job, "task_type": "gated"} for job in "ab"))
    worker = start_worker("-c", "2", "--poll-interval", "300")
    slots = wait_at_gate(gate, 2)
    nursery = worker.nursery

    os.kill(nursery, signal.SIGKILL)
    wait_at_gate(gate, 4)
    gate.touch()

    for row in worker.wait_for_jobs("a", "b"):
        assert row["retry_count"] == 1
        assert _pid(row) not in slots
    assert len(worker.logged("the process that holds the plugins has died; starting it again")) == 1
    assert not [pid for pid in (nursery, *slots) if lives(pid)]
    databases.queue(database, {"job_id": "idle", "task_type": "gated"})
    worker.wait_for_jobs("idle")
    os.kill(worker.nursery, signal.SIGKILL)
    databases.queue(database, {"job_id": "after idle", "task_type": "gated"})
    worker.wait_for_jobs("after idle")


def test_a_daemon_of_a_task_ends_with_a_nursery_that_was_killed(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    plugins.install_plain(
        "untidy",
        f"""
        daemon = subprocess.Popen(["sleep", "3600"], start_new_session=True)
        Path({str(pid)!r}).write_text(str(daemon.pid))
        return {{"status": "ok", "task_output": {{}}}}
        """,
    )
    databases.queue(database, {"job_id": "a", "task_type": "untidy"})
    worker = start_worker()
    worker.wait_for_jobs("a")
    assert lives(int(pid.read_text()))
    os.kill(worker.nursery, signal.SIGKILL)
    wait_until_gone([int(pid.read_text())])
    assert worker.stop().code == 0


def test_a_plugin_that_does_not_come_back_with_a_new_nursery_fails_no_jobs(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    plugins.install_task("fickle", "return {}", header=f"if os.path.exists({str(gone)!r}): raise OSError('not today')")
    databases.create(database, "current")
    worker = start_worker()
    gone.touch()
    os.kill(worker.nursery, signal.SIGKILL)
    ended = worker.result()
    assert (ended.code, ended.errors) == (
        1,
        [
            "the plugins were loaded again, and the task 'fickle' is not ready any more: OSError: not today; "
            "see 'clworker list-tasks', and start the worker again"
        ],
    )


def test_nothing_outlives_a_supervisor_that_was_killed(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    plugins.install_plain(
        "clinging",
        f"""
        child = subprocess.Popen(["sleep", "3600"])
        stopped = subprocess.Popen(["sleep", "3600"], start_new_session=True)
        stopped.send_signal(signal.SIGSTOP)
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.write(writer, str(os.getpid()).encode())
                while True:
                    signal.pause()
            os._exit(0)
        os.waitpid(between, 0)
        daemon = int(os.read(reader, 20))
        Path({str(pids)!r} + "-").write_text(f"{{os.getpid()}} {{child.pid}} {{stopped.pid}} {{daemon}}")
        os.rename({str(pids)!r} + "-", {str(pids)!r})
        sum(range(10**15))  # one call in C: the interpreter never gets a turn
        """,
    )
    databases.queue(database, {"job_id": "a", "task_type": "clinging"})
    worker = start_worker("-c", "2", MQTT_HEARTBEAT_INTERVAL="0.1")
    wait_until(pids.exists, "the task has started its processes")
    started = [int(pid) for pid in pids.read_text().split()]
    known = {*started, *descendants_of(worker.pid)}
    assert len(known) == 6 and all(map(lives, known))  # a nursery, two slots, and three that the task started

    beats = "SELECT heartbeat FROM clworker_instances"
    before = databases.rows(database, beats)[0]["heartbeat"]
    wait_until(lambda: databases.rows(database, beats)[0]["heartbeat"] > before + 2, "the heart goes on beating")

    worker.send(signal.SIGKILL)
    wait_until_gone(known)
