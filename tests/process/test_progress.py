"""What comes back from a running task: progress in the row, and its prints as log lines."""

import time
from functools import partial

from tests.support.bench import Bench
from tests.support.waiting import wait_until


def has_progress(bench: Bench, job_id: str, percent: int) -> bool:
    return bool(bench.job(job_id)["progress"] == percent)


def test_progress_reaches_the_row_while_the_task_runs(bench: Bench) -> None:
    bench.task(
        "steps",
        """
        for percent in (-5, 30, 10, 100, 250, 99):
            progress_callback(percent)
            mark(params, str(percent))
            while not Path(params.marks, f"seen {percent}").exists():
                time.sleep(0.005)
        return {"status": "ok", "task_output": {}}
        """,
    )
    job_id = bench.queue("steps")
    with bench.running_once() as once:
        for said, written in [(-5, 0), (30, 30), (10, 30), (100, 99), (250, 99), (99, 99)]:
            bench.wait_for_mark(str(said))
            wait_until(partial(has_progress, bench, job_id, written), f"{written} is in the row")
            assert bench.job(job_id)["status"] == "processing"
            (bench.marks / f"seen {said}").touch()
        assert once.result().code == 0
    assert bench.job(job_id)["progress"] == 100


def test_much_progress_costs_few_writes_and_never_falls(bench: Bench) -> None:
    bench.task(
        "chatty",
        """
        started = time.monotonic()
        mark(params, "on")
        for step in range(10_000):
            progress_callback(min(98, step // 100))
        while time.monotonic() < started + 1.2:
            progress_callback(98)
            time.sleep(0.001)
        return {"status": "error", "error": "ended"}
        """,
    )
    job_id = bench.queue("chatty")
    seen: list[int] = []
    writes: set[int] = set()
    with bench.running_once() as once:
        bench.wait_for_mark("on")
        while once.process.poll() is None:
            row = bench.job(job_id)
            seen.append(row["progress"])
            writes.add(row["updated_at"])
            time.sleep(0.002)
        once.result()
    assert seen == sorted(seen)
    assert seen[-1] == 98
    # The claim, the outcome, and at most one write for each half second: on a slow machine a few more.
    assert len(writes) <= 12


def test_prints_of_a_task_are_log_lines_of_its_job(bench: Bench) -> None:
    bench.task(
        "talkative",
        """
        import logging, warnings
        print("by print")
        print("to stderr", file=sys.stderr)
        os.write(1, b"by the system \\xff\\n")
        subprocess.run(["echo", "by a child"])
        logging.getLogger("their.logger").error("by %s", "logging", extra={"detail": 7})
        warnings.warn("by warning")
        print("x" * 10_000)
        print("without a line's end", end="")
        return {"status": "ok", "task_output": {}}
        """,
    )
    job_id = bench.queue("talkative")
    ended = bench.once()
    assert ended.json["status"] == "completed"
    printed = [line for line in ended.log if line["event"] == "task output"]
    texts = [line["line"] for line in printed]
    for text in ("by print", "to stderr", "by the system \ufffd", "by a child", "without a line's end"):
        assert text in texts
    assert max(map(len, texts)) <= 4096
    assert {(line["job_id"], line["task_type"], line["worker_id"]) for line in printed} == {
        (job_id, "talkative", "worker-default")
    }
    (logged,) = (line for line in ended.log if line["event"] == "by logging")
    assert (logged["level"], logged["detail"], logged["job_id"]) == ("error", 7, job_id)
    assert any("by warning" in line["event"] for line in ended.log)


def test_prints_of_a_task_that_dies_are_not_lost(bench: Bench) -> None:
    bench.task("dying", "print('last words'); os._exit(3)")
    bench.queue("dying")
    ended = bench.once()
    assert "last words" in [line.get("line") for line in ended.log]


def test_prints_on_import_appear_once(bench: Bench) -> None:
    bench.task(
        "loud", "print('in the task', flush=True); return {'status': 'ok', 'task_output': {}}", "print('on import')"
    )
    bench.queue("loud")
    lines = [line.get("line") for line in bench.once().log]
    assert (lines.count("on import"), lines.count("in the task")) == (1, 1)
