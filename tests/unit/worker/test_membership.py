"""Heartbeats go on whatever else the worker waits for."""

import asyncio
import threading
from contextlib import closing
from pathlib import Path

from clworker.core.environment import load_settings
from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.membership import Membership
from tests.support.waiting import TIMEOUT


def test_heartbeats_go_on_while_an_exchange_waits_and_end_with_the_membership(
    store: Store, database: Path, tmp_path: Path
) -> None:
    """Such as one whose outputs go to a file server that hangs."""
    settings = load_settings({}, {"CL_SERVER_DIR": str(tmp_path), "BROADCAST_TYPE": "noop"})
    instance = Instance.new("ann", Role.RUN, 0.01)
    released = threading.Event()

    def heartbeat() -> int:
        record = store.instances.get(instance.instance)
        assert record is not None
        return record.heartbeat

    async def run() -> None:
        with InstanceLock(database, instance) as lock, closing(Ledger()) as ledger:
            store.instances.register(instance, lock.file)
            membership = Membership(Surroundings(settings, store, ledger, NoopBroadcaster(), lock), instance)
            waiting = asyncio.create_task(ledger.call(released.wait, TIMEOUT))
            beating = asyncio.create_task(membership.beat())
            async with asyncio.timeout(TIMEOUT):
                while heartbeat() < 3:
                    await asyncio.sleep(0.01)
            assert not waiting.done()
            beating.cancel()
            await membership.close()
            assert store.instances.end(instance.instance)
            released.set()
            await waiting

    try:
        asyncio.run(run())
    finally:
        released.set()
    assert store.instances.live() == []
