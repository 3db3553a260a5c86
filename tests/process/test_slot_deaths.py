"""A slot that dies returns its job, counted, until no retry is left (invariant 4); what else ends a job is final."""

import asyncio
import os
import re
import signal

import pytest

from clworker.core.models.attempts import Cause
from tests.support.bench import Bench
from tests.support.lanes import lane_over_a_slot
from tests.support.processes import children_of, wait_until_gone

DEATHS = {
    "exit": ("os._exit(7)", "ended with exit code 7"),
    "segfault": ("ctypes.string_at(0)", "was killed by SIGSEGV"),
    "thread": (
        "import threading; threading.Thread(target=lambda: os._exit(9)).start(); time.sleep(600)",
        "ended with exit code 9",
    ),
}


@pytest.mark.parametrize("body, words", DEATHS.values(), ids=DEATHS)
def test_death_without_retries_left_says_how_and_with_how_much_memory(bench: Bench, body: str, words: str) -> None:
    bench.task("deadly", f"progress_callback(40)\n{body}")
    job_id = bench.queue("deadly", max_retries=0)
    ended = bench.once()
    message = bench.job(job_id)["error_message"]
    assert (ended.code, ended.json["status"], ended.json["error_message"]) == (1, "error", message)
    assert re.fullmatch(rf"the process that ran the job {words} at \d+ MiB, attempt 1 of 1", message)


def test_death_is_retried_until_the_last_attempt(bench: Bench) -> None:
    bench.task("deadly", "progress_callback(40)\nmark(params, 'on')\ntime.sleep(600)")
    job_id = bench.queue("deadly", max_retries=1)
    for status in ("queued", "error"):
        with bench.running_once() as once:
            (slot,) = bench.wait_for_mark("on")
            os.kill(slot, signal.SIGKILL)
            ended = once.result()
        job = bench.job(job_id)
        assert (ended.code, ended.json["status"], job["status"]) == (1, status, status)
        assert job["retry_count"] == 1
        if status == "queued":
            assert (job["progress"], job["error_message"], job["completed_at"]) == (0, None, None)
        (bench.marks / "on").unlink()
    assert re.fullmatch(
        r"the process that ran the job was killed by SIGKILL at \d+ MiB, attempt 2 of 2", job["error_message"]
    )
    ends = [(attempt["cause"], attempt["signal"], attempt["exit_code"]) for attempt in bench.attempts(job_id)]
    assert ends == [("died", signal.SIGKILL, None)] * 2
    assert all(attempt["peak_memory_kib"] > 1024 for attempt in bench.attempts(job_id))
    assert bench.once().stdout == ""


@pytest.mark.parametrize(
    "body, message",
    [
        ("sys.exit(3)", "the task called sys.exit(3)"),
        ("bytearray(1 << 60)", "out of memory"),
    ],
    ids=["sys-exit", "memory"],
)
def test_exception_is_final_at_once_and_the_worker_unharmed(bench: Bench, body: str, message: str) -> None:
    bench.task("failing", body)
    job_id = bench.queue("failing")
    ended = bench.once()
    assert (ended.code, ended.json["error_message"]) == (1, message)
    job = bench.job(job_id)
    assert (job["status"], job["retry_count"], job["error_message"]) == ("error", 0, message)
    assert "the task raised an exception" in [line["event"] for line in ended.log]


def test_schema_that_raises_in_the_slot_is_final_at_once(bench: Bench) -> None:
    header = """
    class Empty(BaseModel):
        pass
    calls = []
    def schema():
        calls.append(1)
        if len(calls) > 1:
            raise LookupError("no schema today")
        return Empty
    """
    bench.plugins.install_task("moody", "return {}", "schema()", header)
    job_id = bench.queue("moody")
    assert bench.once().json["error_message"] == "LookupError: no schema today"
    assert bench.job(job_id)["retry_count"] == 0


def test_what_a_task_leaves_running_ends_with_the_program(bench: Bench) -> None:
    bench.task(
        "untidy",
        """
        import threading
        async def forever():
            await asyncio.Event().wait()
        asyncio.ensure_future(forever())
        threading.Thread(target=time.sleep, args=(600,)).start()
        child = subprocess.Popen(["sleep", "600"])
        daemon = subprocess.Popen(["sleep", "600"], start_new_session=True)
        mark(params, "on", os.getpid(), child.pid, daemon.pid)
        return {"status": "ok", "task_output": {"done": True}}
        """,
    )
    bench.queue("untidy")
    ended = bench.once()
    wait_until_gone(bench.wait_for_mark("on"))
    assert (ended.code, ended.json["output"]) == (0, {"done": True})


def test_death_is_noticed_while_a_daemon_of_the_task_holds_the_channel(bench: Bench) -> None:
    bench.task(
        "daemon",
        """
        if os.fork() == 0:
            os.setsid()
            mark(params, "on")
            time.sleep(600)
            os._exit(0)
        while not Path(params.marks, "on").exists():
            time.sleep(0.01)
        os._exit(3)
        """,
    )
    job_id = bench.queue("daemon")
    assert bench.once().code == 1
    wait_until_gone(bench.wait_for_mark("on"))
    assert (bench.job(job_id)["status"], bench.job(job_id)["retry_count"]) == ("queued", 1)


def test_forked_child_that_comes_back_does_not_speak_for_the_job(bench: Bench) -> None:
    bench.task(
        "forking",
        """
        if os.fork() == 0:
            raise OSError("of the child")
        os.wait()
        if os.fork() == 0:
            progress_callback(77)
            return {"status": "error", "error": "of the child"}
        os.wait()
        return {"status": "ok", "task_output": {"of": "the parent"}}
        """,
    )
    bench.queue("forking")
    ended = bench.once()
    assert (ended.code, ended.json["output"]) == (0, {"of": "the parent"})


def test_long_log_lines_and_progress_of_several_threads_stay_whole(bench: Bench) -> None:
    bench.task(
        "threads",
        """
        import logging, threading
        def chat():
            for number in range(10):
                logging.getLogger("chat").warning("%d %s", number, "x" * 400_000)
        chatting = threading.Thread(target=chat)
        chatting.start()
        percent = 0
        while chatting.is_alive():
            percent += 1
            progress_callback(percent)
            time.sleep(0.001)
        return {"status": "ok", "task_output": {}}
        """,
    )
    bench.queue("threads")
    ended = bench.once()
    assert ended.code == 0
    chat = [line["event"] for line in ended.log if len(line["event"]) > 400_000]
    assert [line.split()[0] for line in chat] == [str(number) for number in range(10)]


def test_garbage_in_the_channel_costs_the_slot_and_not_the_worker(bench: Bench) -> None:
    bench.task(
        "vandal",
        """
        import stat
        for fd in range(3, 100):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    os.write(fd, (4).to_bytes(4, "big") + b"nope")
            except OSError:
                pass
        time.sleep(600)
        """,
    )
    job_id = bench.queue("vandal")
    ended = bench.once()
    assert (ended.code, bench.job(job_id)["status"], bench.job(job_id)["retry_count"]) == (1, "queued", 1)
    assert "the slot is ended: its task has broken the channel" in [line["event"] for line in ended.log]


def test_killed_nursery_takes_the_task_with_it_and_the_job_returns(bench: Bench) -> None:
    bench.task(
        "long", "child = subprocess.Popen(['sleep', '600']); mark(params, 'on', os.getpid(), child.pid); child.wait()"
    )
    job_id = bench.queue("long")
    with bench.running_once() as once:
        pids = bench.wait_for_mark("on")
        (nursery,) = children_of(once.process.pid)
        os.kill(nursery, signal.SIGKILL)
        ended = once.result()
        wait_until_gone(pids)
    assert (ended.code, bench.job(job_id)["status"], bench.job(job_id)["retry_count"]) == (1, "queued", 1)


@pytest.mark.parametrize("dies", ["before", "after"])
def test_slot_that_dies_before_it_starts_the_job_costs_no_retry(bench: Bench, dies: str) -> None:
    job_id = bench.queue("image_resize")

    async def run_in_a_dead_slot() -> None:
        async with lane_over_a_slot(bench, "image_resize", 1) as scene:
            lane, slot = scene.lane, scene.slot
            (claim,) = scene.claims
            handed_in = asyncio.Event()
            scene.desk.ask = handed_in.set
            os.kill(slot.pid, signal.SIGSTOP)
            if dies == "after":
                lane.hand(claim)
            os.kill(slot.pid, signal.SIGKILL)
            while not slot.has_died:
                await asyncio.sleep(0.01)
            if dies == "before":
                lane.hand(claim)
            await handed_in.wait()
            await scene.desk.exchange(0, len)

    asyncio.run(run_in_a_dead_slot())
    assert (bench.job(job_id)["status"], bench.job(job_id)["retry_count"]) == ("queued", 0)
    assert [attempt["cause"] for attempt in bench.attempts(job_id)] == [Cause.NEVER_STARTED]
