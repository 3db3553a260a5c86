"""The pool's rules: which slots are idle, when one is replaced, and what becomes of a dead nursery.

Real slots and real channels; only the process that would fork them is a stand-in, so that
each can die exactly when a test says so.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from clworker.core.environment import load_settings
from clworker.core.frames import encode
from clworker.core.models.attempts import Death
from clworker.core.worker.pool import SlotPool
from clworker.core.worker.slots import Slot


class StandIn:
    """A nursery without a process."""

    def __init__(self) -> None:
        self.has_died = False
        self.closed = False
        self.spawned: list[Slot] = []

    def on_death(self) -> None:
        """Nobody wants to know."""

    def tell(self, message: object, fds: object = ()) -> None:
        pass

    async def spawn(self) -> Slot:
        slot = Slot(len(self.spawned), self)  # type: ignore[arg-type]
        slot.note_spawned(0)
        await slot.spawn()
        self.spawned.append(slot)
        return slot

    async def close(self) -> None:
        self.closed = True


class Yard:
    """A pool over stand-ins."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.nurseries = [StandIn()]
        settings = load_settings(options, {"CL_SERVER_DIR": str(folder)})
        self.pool = SlotPool(settings, self.nurseries[0], self._start)  # type: ignore[arg-type]

    async def _start(self) -> StandIn:
        self.nurseries.append(StandIn())
        return self.nurseries[-1]


def _run(folder: Path, body: Callable[[Yard], Awaitable[None]], **options: str) -> None:
    async def run() -> None:
        yard = Yard(folder, **options)
        try:
            await yard.pool.fill()
            await body(yard)
        finally:
            await yard.pool.close()

    asyncio.run(run())


def _is_closed(slot: Slot) -> bool:
    return slot._ours.fileno() < 0


def test_the_pool_is_filled_once_and_busy_or_dead_slots_are_not_idle(tmp_path: Path) -> None:
    async def body(yard: Yard) -> None:
        first, second, third = yard.pool.idle
        await yard.pool.fill()
        assert yard.pool.idle == [first, second, third]
        first.busy = True
        second.note_death(Death(signal=9))
        assert yard.pool.idle == [third]

    _run(tmp_path, body, concurrency="3")


def test_a_dead_slot_is_replaced_once_nobody_reads_from_it_any_more(tmp_path: Path) -> None:
    async def body(yard: Yard) -> None:
        (slot,) = yard.pool.idle
        slot.busy = True
        slot.note_death(Death(signal=11))
        await yard.pool.fill()
        assert yard.pool.idle == []
        assert not _is_closed(slot)

        slot.busy = False
        await yard.pool.fill()
        assert _is_closed(slot)
        (successor,) = yard.pool.idle
        assert successor is not slot

    _run(tmp_path, body)


def test_what_a_slot_said_before_its_death_can_still_be_read(tmp_path: Path) -> None:
    async def body(yard: Yard) -> None:
        slot = Slot(7, yard.nurseries[0])  # type: ignore[arg-type]
        other_side = slot._theirs.dup()
        slot.note_spawned(0)
        await slot.spawn()
        heard: list[object] = []
        slot.on_message = lambda message: heard.append(message["percent"])
        slot.on_death = heard.append
        other_side.sendall(encode({"type": "progress", "percent": 7}))
        slot.note_death(Death(exit_code=0))
        slot.note_death(Death(exit_code=1))
        assert heard == [7, Death(exit_code=0)]  # although the other side is still open
        other_side.close()
        slot.close()

    _run(tmp_path, body)


def test_a_slot_is_recycled_after_its_jobs_but_never_during_one(tmp_path: Path) -> None:
    async def body(yard: Yard) -> None:
        (slot,) = yard.pool.idle
        slot.jobs_done = 1
        await yard.pool.fill()
        assert yard.pool.idle == [slot]
        slot.jobs_done = 2
        slot.busy = True
        await yard.pool.fill()
        assert not _is_closed(slot)
        slot.busy = False
        await yard.pool.fill()
        assert _is_closed(slot)
        assert len(yard.pool.idle) == 1

    _run(tmp_path, body, max_jobs_per_slot="2")


def test_a_dead_nursery_is_replaced_with_all_its_slots(tmp_path: Path) -> None:
    async def body(yard: Yard) -> None:
        before = yard.pool.idle
        yard.nurseries[0].has_died = True
        for slot in before:
            slot.note_death(Death())
        await yard.pool.fill()
        assert yard.nurseries[0].closed
        assert all(map(_is_closed, before))
        assert yard.pool.idle == yard.nurseries[1].spawned
        assert len(yard.pool.idle) == 2

    _run(tmp_path, body, concurrency="2")


def test_closing_ends_the_nursery_and_lets_go_of_every_slot(tmp_path: Path) -> None:
    async def run() -> None:
        yard = Yard(tmp_path, concurrency="2")
        await yard.pool.fill()
        slots = yard.pool.idle
        for _ in range(2):
            await yard.pool.close()
        assert yard.nurseries[0].closed and all(map(_is_closed, slots))

    asyncio.run(run())
