"""A job that a slot was given ahead of time does not wait behind one that takes longer than was expected."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from clworker.core.worker.lane import A_MOMENT
from clworker.core.worker.orders import LARGEST
from tests.support import databases
from tests.support.plugins import PluginFolder
from tests.support.processes import children_of
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker

NAP = """
time.sleep(0.04)
while params.gate and not os.path.exists(params.gate):
    time.sleep(0.01)
return {"status": "ok"}
"""


def test_a_job_given_ahead_goes_back_uncounted_when_the_one_before_it_takes_longer(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    plugins.install_plain("nap", NAP, gate="str")
    gate = tmp_path / "gate"
    rows: list[dict[str, Any]] = [{"job_id": f"short-{n}", "params": {"gate": ""}} for n in range(3)]
    rows += [{"job_id": "long", "params": {"gate": str(gate)}}, {"job_id": "behind", "params": {"gate": ""}}]
    worker = start_worker()
    databases.queue(database, *({"task_type": "nap", "created_at": n, **row} for n, row in enumerate(rows)))

    query = "SELECT cause FROM clworker_attempts WHERE job_id = 'behind'"
    wait_until(lambda: {"cause": "never-started"} in databases.rows(database, query), "the job behind has gone back")
    status = "SELECT job_id, status, retry_count FROM jobs WHERE job_id IN ('long', 'behind') ORDER BY job_id"
    assert databases.rows(database, status) == [
        {"job_id": "behind", "status": "queued", "retry_count": 0},
        {"job_id": "long", "status": "processing", "retry_count": 0},
    ]
    assert len(databases.rows(database, query)) == 1  # it is not claimed again and again

    gate.touch()
    worker.wait_for_jobs(*(str(row["job_id"]) for row in rows))


@pytest.mark.parametrize("size", [10, LARGEST], ids=["small", "too large for the queue to a slot"])
def test_a_job_that_its_slot_is_slow_to_begin_is_not_taken_from_it(
    start_worker: StartWorker, plugins: PluginFolder, database: Path, size: int
) -> None:
    plugins.install_plain("quick", 'return {"status": "ok"}', text="str")
    worker = start_worker()
    (slot,) = children_of(worker.nursery)
    os.kill(slot, signal.SIGSTOP)
    databases.queue(database, {"job_id": "a", "task_type": "quick", "params": {"text": "x" * size}})
    worker.wait_for("job started", job_id="a")
    time.sleep(10 * A_MOMENT)  # after a moment, those that wait behind it go back
    os.kill(slot, signal.SIGCONT)
    worker.wait_for_jobs("a")
    causes = databases.rows(database, "SELECT cause FROM clworker_attempts")
    assert causes == [{"cause": "completed"}]


def test_quick_jobs_with_params_that_fill_the_queue_to_a_slot_run_once_each(
    start_worker: StartWorker, plugins: PluginFolder, database: Path
) -> None:
    plugins.install_plain("quick", 'return {"status": "ok"}', text="str")
    worker = start_worker()
    ids = [f"job-{n}" for n in range(200)]
    databases.queue(database, *({"job_id": name, "task_type": "quick", "params": {"text": "x" * 7000}} for name in ids))
    worker.wait_for_jobs(*ids)
    query = "SELECT count(*) AS runs FROM clworker_attempts WHERE cause = 'completed'"
    assert databases.rows(database, query) == [{"runs": 200}]
    assert not worker.logged("job failed")
