"""Orders that a supervisor takes back while the slot takes one from among them."""

import asyncio
import os
import signal
import socket

import pytest

from clworker.core.models.attempts import Cause
from tests.support.bench import Bench
from tests.support.lanes import lane_over_a_slot
from tests.support.processes import state_of
from tests.support.waiting import wait_until

WAITS = """
Path(params.marks, "runs-" + job.job_id).touch()
while not Path(params.marks, "go").exists():
    time.sleep(0.01)
return {"status": "ok", "task_output": {"ran": job.job_id}}
"""


# The moment between two reads of the supervisor's is too short to be met on demand: the slot is stopped until then.


def test_an_outcome_belongs_to_the_job_that_the_slot_has_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.task("waits", WAITS)
    jobs = [bench.queue("waits") for _ in range(4)]
    monkeypatch.setenv("PYTHONPATH", str(bench.plugins.path))

    async def take_back_around_the_second() -> None:
        async with lane_over_a_slot(bench, "waits", 4) as scene:
            lane, slot = scene.lane, scene.slot
            os.kill(slot.pid, signal.SIGSTOP)
            wait_until(lambda: state_of(slot.pid) == "T", "the slot is stopped")
            for claim in scene.claims:
                lane.hand(claim)
            take_back = slot.orders.take_back

            def interrupted() -> list[bytes]:
                with socket.socket(fileno=os.dup(slot.orders.read_end)) as read_end:
                    first = read_end.recv(8192)
                os.kill(slot.pid, signal.SIGCONT)
                wait_until((bench.marks / f"runs-{jobs[1]}").exists, "the slot runs the second job")
                return [first, *take_back()]

            monkeypatch.setattr(slot.orders, "take_back", interrupted)
            lane.take_back()
            monkeypatch.setattr(slot.orders, "take_back", take_back)
            (bench.marks / "go").touch()
            while not lane.is_idle:
                await asyncio.sleep(0.01)
            await scene.desk.exchange(0, len)

    asyncio.run(take_back_around_the_second())
    assert [bench.job(job)["status"] for job in jobs] == ["queued", "completed", "queued", "queued"]
    assert bench.job(jobs[1])["output"] == f'{{"ran": "{jobs[1]}"}}'
    assert [bench.job(job)["retry_count"] for job in jobs] == [0, 0, 0, 0]
    causes = [[attempt["cause"] for attempt in bench.attempts(job)] for job in jobs]
    assert causes == [[Cause.NEVER_STARTED], [Cause.COMPLETED], [Cause.NEVER_STARTED], [Cause.NEVER_STARTED]]
