"""A lane over a real slot, without a supervisor around it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from clworker.core.environment import load_settings
from clworker.core.models.attempts import Claim
from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store
from clworker.core.worker.desk import Desk
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.lane import Lane
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.pace import Pace
from clworker.core.worker.slots import Nursery, Slot
from tests.support.bench import Bench


@dataclass(frozen=True)
class LaneScene:
    """The lane, its slot, the desk that it hands in to, and jobs that were claimed for it."""

    lane: Lane
    slot: Slot
    desk: Desk
    claims: Sequence[Claim]


@asynccontextmanager
async def lane_over_a_slot(bench: Bench, task_type: str, jobs: int) -> AsyncIterator[LaneScene]:
    """Claim so many jobs of a task; plugins are those of the test's own environment."""
    settings = load_settings({}, {"CL_SERVER_DIR": str(bench.program.server_dir), "BROADCAST_TYPE": "noop"})
    instance = Instance.new("test", Role.ONCE, 30.0)
    with InstanceLock(bench.database, instance) as lock, closing(Ledger()) as ledger:
        nursery = await Nursery.start(settings, lock.fd)
        slot = await nursery.spawn()
        store = await ledger.call(Store, settings.database_url)
        desk = Desk(store, ledger, instance.instance, [task_type])
        lane = Lane(slot, Surroundings(settings, store, ledger, NoopBroadcaster(), lock), desk, Pace())
        claims = await ledger.call(store.claims.claim, instance.instance, [task_type], jobs)
        yield LaneScene(lane, slot, desk, claims)
        slot.close()
        await nursery.close()
        await ledger.call(store.close)
