"""A killed supervisor leaves nothing running, and its lock is free only when that is so."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from clworker.core.store.identity import LockFile, is_dead
from tests.support import databases
from tests.support.bench import Bench
from tests.support.processes import (
    children_of,
    command_of,
    descendants_of,
    lives,
    network_sockets_of,
    open_files_of,
    wait_until_gone,
)
from tests.support.waiting import wait_until

# What a task is doing when the supervisor is killed; each marks every process that it has started.
HOLDINGS = {
    "holding the GIL": """
        child = subprocess.Popen(["sleep", "600"])
        mark(params, "on", os.getpid(), child.pid)
        while True: pass
        """,
    "with a daemon": """
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writing, str(os.getpid()).encode())
                signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
                time.sleep(600)
            os._exit(0)
        daemon = int(os.read(reading, 100))
        mark(params, "on", os.getpid(), daemon)
        time.sleep(600)
        """,
    "with a daemon's children": """
        code = "import os, subprocess, time; c = subprocess.Popen(['sleep', '600'], start_new_session=True); "
        code += "print(c.pid, flush=True); time.sleep(600)"
        daemon = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
        mark(params, "on", os.getpid(), daemon.pid, int(daemon.stdout.readline()))
        time.sleep(600)
        """,
    "stopped": "mark(params, 'on'); os.kill(os.getpid(), signal.SIGSTOP)",
}


def only_lock(bench: Bench) -> LockFile:
    (path,) = bench.locks()
    return LockFile(str(path), path.stat().st_dev, path.stat().st_ino)


def still_run(pids: Iterable[int]) -> list[str]:
    """Return the commands of those that run; one that has no command any more is past its end."""
    return list(filter(None, map(command_of, pids)))


@pytest.mark.parametrize("body", HOLDINGS.values(), ids=HOLDINGS)
def test_killed_supervisor_leaves_nothing_of_a_task_that_is(bench: Bench, body: str) -> None:
    bench.task("held", body)
    bench.queue("held")
    with bench.running_once() as once:
        marked = bench.wait_for_mark("on")
        family = {*marked, *descendants_of(once.process.pid)}
        lock = only_lock(bench)
        assert is_dead(lock) is False
        once.signal(signal.SIGKILL)
        wait_until(lambda: is_dead(lock), "the lock is free", timeout=10)
        assert still_run(family) == []


def test_thread_that_a_plugin_started_on_import_keeps_no_lock(bench: Bench) -> None:
    header = """
    import threading
    threading.Thread(target=lambda: subprocess.run(["sleep", "600"])).start()
    """
    bench.task("threaded", "mark(params, 'on'); time.sleep(600)", header)
    bench.queue("threaded")
    with bench.running_once() as once:
        bench.wait_for_mark("on")
        supervisor = once.process.pid
        wait_until(lambda: "sleep 600" in map(command_of, descendants_of(supervisor)), "the thread has its child")
        family = descendants_of(supervisor)
        lock = only_lock(bench)
        once.signal(signal.SIGKILL)
        wait_until(lambda: is_dead(lock), "the lock is free", timeout=10)
        assert still_run(family) == []


def test_killed_while_a_plugin_hangs_on_import(bench: Bench) -> None:
    source = f"import os, time\nos.mkdir({str(bench.marks / 'on')!r})\nwhile True: pass"
    bench.plugins.install("plugin-hanging", source, {"hanging": "Task"})
    with bench.running_once() as once:
        wait_until((bench.marks / "on").exists, "the plugin hangs")
        family = descendants_of(once.process.pid)
        assert family
        once.signal(signal.SIGKILL)
        wait_until_gone(family)


def test_stopped_supervisor_is_not_dead(bench: Bench) -> None:
    bench.task("held", "mark(params, 'on'); time.sleep(600)")
    job_id = bench.queue("held")
    with bench.running_once() as once:
        (slot,) = bench.wait_for_mark("on")
        once.signal(signal.SIGSTOP)
        assert is_dead(only_lock(bench)) is False
        assert bench.once("-t", "image_resize").stdout == ""
        assert bench.job(job_id)["status"] == "processing"
        assert lives(slot)


def test_slot_and_nursery_hold_neither_database_nor_broker(bench: Bench, broker_port: int) -> None:
    bench.task("held", "mark(params, 'on'); time.sleep(600)")
    bench.queue("held")
    with bench.running_once(BROADCAST_TYPE="mqtt", MQTT_PORT=str(broker_port)) as once:
        (slot,) = bench.wait_for_mark("on")
        supervisor = once.process.pid
        (nursery,) = children_of(supervisor)
        assert children_of(nursery) == [slot]
        wait_until(lambda: network_sockets_of(supervisor), "the supervisor is connected to the broker")
        assert str(bench.database) in open_files_of(supervisor)

        for process in (nursery, slot):
            assert network_sockets_of(process) == []
            held = [link for link in open_files_of(process) if str(bench.database.parent) in link]
            assert held == list(map(str, bench.locks()))
        assert Path(f"/proc/{slot}/fd/0").readlink() == Path(os.devnull)


def test_clean_end_leaves_no_lock_and_no_live_instance(bench: Bench) -> None:
    bench.task("fast", "return {'status': 'ok', 'task_output': {}}")
    bench.queue("fast")
    assert bench.once().code == 0
    assert bench.locks() == []
    assert databases.rows(bench.database, "SELECT 1 FROM clworker_instances WHERE ended_at IS NULL") == []
