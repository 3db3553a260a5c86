"""Orders that a supervisor takes back while the slot takes one from among them."""

import asyncio
import os
import signal
import socket
from contextlib import closing

import pytest

from clworker.core.environment import load_settings
from clworker.core.models.attempts import Cause
from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store
from clworker.core.worker.desk import Desk
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.lane import Lane
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.pace import Pace
from clworker.core.worker.slots import Nursery
from tests.support.bench import Bench
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
    environ = {
        "CL_SERVER_DIR": str(bench.program.server_dir),
        "BROADCAST_TYPE": "noop",
        "PYTHONPATH": str(bench.plugins.path),
    }
    monkeypatch.setenv("PYTHONPATH", environ["PYTHONPATH"])
    settings = load_settings({}, environ)

    async def take_back_around_the_second() -> None:
        instance = Instance.new("test", Role.ONCE, 30.0)
        with InstanceLock(bench.database, instance) as lock, closing(Ledger()) as ledger:
            nursery = await Nursery.start(settings, lock.fd)
            slot = await nursery.spawn()
            store = await ledger.call(Store, settings.database_url)
            desk = Desk(store, ledger, instance.instance, ["waits"])
            lane = Lane(slot, Surroundings(settings, store, ledger, NoopBroadcaster(), lock), desk, Pace())
            claims = await ledger.call(store.claims.claim, instance.instance, ["waits"], 4)
            os.kill(slot.pid, signal.SIGSTOP)
            for claim in claims:
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
            monkeypatch.undo()
            (bench.marks / "go").touch()
            while not lane.is_idle:
                await asyncio.sleep(0.01)
            await desk.exchange(0, len)
            slot.close()
            await nursery.close()
            await ledger.call(store.close)

    asyncio.run(take_back_around_the_second())
    assert [bench.job(job)["status"] for job in jobs] == ["queued", "completed", "queued", "queued"]
    assert bench.job(jobs[1])["output"] == f'{{"ran": "{jobs[1]}"}}'
    assert [bench.job(job)["retry_count"] for job in jobs] == [0, 0, 0, 0]
    causes = [[attempt["cause"] for attempt in bench.attempts(job)] for job in jobs]
    assert causes == [[Cause.NEVER_STARTED], [Cause.COMPLETED], [Cause.NEVER_STARTED], [Cause.NEVER_STARTED]]
