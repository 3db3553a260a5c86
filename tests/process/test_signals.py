"""``once`` and its signals: whatever it is doing, the job goes back uncounted and nothing is half-written."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.bench import Bench
from tests.support.processes import descendants_of, wait_until_gone
from tests.support.waiting import wait_until

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}
both_signals = pytest.mark.parametrize("number, code", SIGNALS.items(), ids=["term", "int"])


@both_signals
def test_in_the_middle_of_a_task(bench: Bench, tmp_path: Path, number: signal.Signals, code: int) -> None:
    source, target = bench.program.server_dir / "compute/in.txt", bench.program.server_dir / "compute/out/out.txt"
    source.parent.mkdir()
    target.parent.mkdir()
    source.write_text("in")
    target.write_text("old")
    bench.plugins.install_task(
        "slow",
        f"""
        Path(params.output_paths[0]).write_text("ne")
        progress_callback(50)
        child = subprocess.Popen(["sleep", "600"])
        Path({str(bench.marks / "new")!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
        os.rename({str(bench.marks / "new")!r}, {str(bench.marks / "on")!r})
        time.sleep(600)
        """,
    )
    job_id = bench.queue("slow", {"input_paths": [str(source)], "output_paths": [str(target)]})
    with bench.running_once() as once:
        pids = bench.wait_for_mark("on")
        wait_until(lambda: bench.job(job_id)["progress"] == 50, "the progress is written")
        once.signal(number)
        ended = once.result()
        wait_until_gone(pids)

    assert (ended.code, ended.stdout) == (code, "")
    assert ended.errors == [f"stopped by {number.name}: job {job_id} went back to the queue"]
    job, (attempt,) = bench.job(job_id), bench.attempts(job_id)
    assert (job["status"], job["retry_count"], job["progress"]) == ("queued", 0, 0)
    assert (job["error_message"], job["completed_at"], attempt["cause"]) == (None, None, "stopped")
    assert attempt["ended_at"] is not None
    assert [path.name for path in target.parent.iterdir()] == ["out.txt"]
    assert target.read_text() == "old"
    assert databases.rows(bench.database, "SELECT 1 FROM clworker_instances WHERE ended_at IS NULL") == []
    assert bench.locks() == []


def test_while_a_plugin_hangs_on_import(bench: Bench) -> None:
    source = f"""
    import os, pathlib, subprocess, time
    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path({str(bench.marks / "new")!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
    os.rename({str(bench.marks / "new")!r}, {str(bench.marks / "on")!r})
    time.sleep(600)
    """
    bench.plugins.install("plugin-hanging", source, {"hanging": "Task"})
    job_id = bench.queue("image_resize")
    # Longer than the test waits: only the signal can be what ends the program.
    with bench.running_once(CLWORKER_PLUGIN_TIMEOUT="3600") as once:
        pids = bench.wait_for_mark("on")
        once.signal(signal.SIGTERM)
        ended = once.result()
        wait_until_gone(pids)
    assert (ended.code, ended.stdout) == (143, "")
    assert ended.errors == ["stopped by SIGTERM: no job was claimed"]
    assert bench.job(job_id)["status"] == "queued"
    assert bench.locks() == []


def test_ctrl_c_of_a_terminal_reaches_only_the_program_itself(bench: Bench) -> None:
    bench.task("slow", "mark(params, 'on'); time.sleep(600)")
    job_id = bench.queue("slow")
    with bench.running_once() as once:
        (slot,) = bench.wait_for_mark("on")
        family = [once.process.pid, *descendants_of(once.process.pid)]
        assert slot in family
        groups = {pid: os.getpgid(pid) for pid in family}
        assert groups[slot] == slot
        assert [pid for pid in family if groups[pid] == groups[once.process.pid]] == [once.process.pid]
        # A service manager signals them all.
        for pid in reversed(family):
            os.kill(pid, signal.SIGTERM)
        assert once.result().code == 143
    assert (bench.job(job_id)["status"], bench.job(job_id)["retry_count"]) == ("queued", 0)


def test_second_signal_changes_nothing(bench: Bench) -> None:
    bench.task("slow", "mark(params, 'on'); time.sleep(600)")
    job_id = bench.queue("slow")
    with bench.running_once() as once:
        bench.wait_for_mark("on")
        once.signal(signal.SIGTERM)
        once.signal(signal.SIGINT)
        ended = once.result()
    assert ended.code in SIGNALS.values()
    assert (bench.job(job_id)["status"], bench.job(job_id)["retry_count"]) == ("queued", 0)


def test_children_of_a_task_get_the_default_signals_back(bench: Bench) -> None:
    bench.task(
        "parent",
        """
        child = subprocess.Popen(["sleep", "600"])
        child.terminate()
        return {"status": "ok", "task_output": {"ended_by": -child.wait()}}
        """,
    )
    bench.queue("parent")
    assert bench.once().json["output"] == {"ended_by": signal.SIGTERM}


@pytest.mark.parametrize("after", [0.2, 0.4, 0.6])
def test_at_any_moment_the_job_is_queued_or_done(bench: Bench, after: float) -> None:
    """The moments are spread over start-up, run and end; which one is hit does not matter."""
    bench.task("quick", "return {'status': 'ok', 'task_output': {}}")
    job_id = bench.queue("quick")
    with bench.running_once() as once:
        with suppress(subprocess.TimeoutExpired):
            once.process.wait(after)
        once.signal(signal.SIGTERM)
        ended = once.result()
    job = bench.job(job_id)
    assert (ended.code, job["status"]) in [
        (0, "completed"),
        (143, "queued"),
        (-signal.SIGTERM, "queued"),  # before the program had set up anything
        (-signal.SIGTERM, "completed"),  # after all was done
    ]
    assert job["retry_count"] == 0
    assert bench.locks() == []
