"""Time and memory limits end the slot's whole process group, and the job in ``error`` at once."""

import pytest

from tests.support.bench import Bench
from tests.support.processes import wait_until_gone

# What a task may be doing when its time is up.
HELD_UP = {
    "in a Python loop": "while True: pass",
    "deaf to signals": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); time.sleep(600)",
    "in another process group": "os.setpgid(0, os.getpgid(os.getppid())); time.sleep(600)",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize("body", HELD_UP.values(), ids=HELD_UP)
def test_time_limit_ends_a_task_that_is(bench: Bench, body: str) -> None:
    bench.task(
        "slow",
        f"""
        child = subprocess.Popen(["sleep", "600"])
        mark(params, "on", os.getpid(), child.pid)
        progress_callback(40)
        {body}
        """,
    )
    job_id = bench.queue("slow")
    ended = bench.once("--time-limit", "0.5")
    wait_until_gone(bench.wait_for_mark("on"))
    assert (ended.code, ended.json["error_message"]) == (1, "time limit of 0.5 s exceeded")
    job, (attempt,) = bench.job(job_id), bench.attempts(job_id)
    assert (job["status"], job["retry_count"], job["error_message"]) == ("error", 0, "time limit of 0.5 s exceeded")
    assert (attempt["cause"], attempt["exit_code"]) == ("time-limit", None)


def test_time_limit_speaks_of_whole_seconds(bench: Bench) -> None:
    bench.task("slow", "time.sleep(600)")
    bench.queue("slow")
    assert bench.once(CLWORKER_TIME_LIMIT="1").json["error_message"] == "time limit of 1 s exceeded"


MEMORY = {
    "its own": "data = bytearray(os.urandom(1) * (200 << 20)); time.sleep(600)",
    "a thread's child's": (
        "import threading\n"
        "code = 'import time; data = b\"x\" * (200 << 20); time.sleep(600)'\n"
        "threading.Thread(target=subprocess.run, args=([sys.executable, '-c', code],)).start(); time.sleep(600)"
    ),
}


@pytest.mark.parametrize("body", MEMORY.values(), ids=MEMORY)
def test_memory_limit_counts(bench: Bench, body: str) -> None:
    bench.task("big", f"mark(params, 'on')\n{body}")
    job_id = bench.queue("big")
    ended = bench.once("--memory-limit", "150")
    wait_until_gone(bench.wait_for_mark("on"))
    assert (ended.code, ended.json["error_message"]) == (1, "memory limit of 150 MiB exceeded")
    job, (attempt,) = bench.job(job_id), bench.attempts(job_id)
    assert (job["status"], job["retry_count"], attempt["cause"]) == ("error", 0, "memory-limit")


def test_limits_spare_a_task_below_them(bench: Bench) -> None:
    bench.task("small", "data = bytearray(20 << 20); time.sleep(0.3); return {'status': 'ok', 'task_output': {}}")
    job_id = bench.queue("small")
    assert bench.once("--memory-limit", "300", "--time-limit", "30").json["status"] == "completed"
    assert bench.attempts(job_id)[0]["peak_memory_kib"] > 20 << 10
