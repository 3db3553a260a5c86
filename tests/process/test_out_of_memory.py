"""A job that eats more memory than there is: the kernel kills its slot, and the worker is unharmed (invariant 4)."""

from dataclasses import replace
from pathlib import Path

from tests.support import databases
from tests.support.cgroup import little_memory
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.worker import StartWorker


def test_the_job_is_tried_again_and_ends_with_the_reason_while_the_next_one_runs(
    program: Program, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    plugins.install_plain("hog", "data = []\nwhile True:\n    data.append(bytearray(10_000_000))")
    plugins.install_plain("quick", 'return {"status": "ok"}')
    databases.queue(database, {"job_id": "a", "task_type": "hog", "max_retries": 1})
    databases.queue(database, {"job_id": "b", "task_type": "quick", "created_at": 10**13})
    with little_memory(300) as prefix:
        start = StartWorker(replace(program, prefix=prefix), tmp_path / "workers")
        with start() as worker:
            worker.wait_for_jobs("b")
            assert worker.stop().code == 0
    rows = databases.rows(database, "SELECT status, retry_count, error_message FROM jobs WHERE job_id = 'a'")
    assert [(row["status"], row["retry_count"]) for row in rows] == [("error", 1)]
    message = rows[0]["error_message"]
    assert message.startswith("the process that ran the job was killed by SIGKILL (out of memory) at ")
    assert message.endswith(" MiB, attempt 2 of 2")
    attempts = databases.rows(database, "SELECT cause, signal FROM clworker_attempts WHERE job_id = 'a'")
    assert attempts == [{"cause": "out-of-memory", "signal": 9}] * 2


def test_a_slot_that_somebody_else_killed_did_not_run_out_of_memory(
    start_worker: StartWorker, plugins: PluginFolder, database: Path
) -> None:
    plugins.install_plain("killed", "os.kill(os.getpid(), signal.SIGKILL)")
    databases.queue(database, {"job_id": "a", "task_type": "killed", "max_retries": 0})
    (job,) = start_worker().wait_for_jobs("a", status="error")
    assert "SIGKILL at " in job["error_message"]
    assert "memory" not in job["error_message"]
