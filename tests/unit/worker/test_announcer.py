"""The announcer: few messages under load, but always the last state, and a heartbeat all the while."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise

from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.presence.messages import Capability
from clworker.core.worker.announcer import COALESCED, Announcer

NEVER = 3600.0


class Recorder(NoopBroadcaster):
    """Keeps what is published, with the time of the loop."""

    def __init__(self) -> None:
        self.published: list[tuple[float, Capability]] = []

    def publish_capability(self, capability: Capability) -> None:
        self.published.append((asyncio.get_running_loop().time(), capability))

    @property
    def counts(self) -> list[int]:
        return [capability.idle_count for _, capability in self.published]


class Worker:
    """A state that changes, and its announcer."""

    def __init__(self, heartbeat: float) -> None:
        self.idle = 0
        self.recorder = Recorder()
        self.announcer = Announcer(self.recorder, "worker-1", ["resize", "convert"], lambda: self.idle)
        self._heartbeat = heartbeat

    def change(self, idle: int) -> None:
        self.idle = idle
        self.announcer.state_changed()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    def live(self, body: "Callable[[Worker], Awaitable[None]]") -> Recorder:
        async def run() -> None:
            announcing = asyncio.create_task(self.announcer.run(self._heartbeat))
            try:
                await body(self)
            finally:
                announcing.cancel()
                await asyncio.gather(announcing, return_exceptions=True)

        asyncio.run(run())
        return self.recorder


def test_the_state_is_published_at_the_start_and_after_a_change() -> None:
    async def body(worker: Worker) -> None:
        await worker.until(lambda: worker.recorder.counts == [0])
        worker.change(2)
        await worker.until(lambda: worker.recorder.counts == [0, 2])

    recorder = Worker(NEVER).live(body)
    fields = json.loads(recorder.published[-1][1].payload())
    assert fields.pop("timestamp") > 0
    assert fields == {
        "id": "worker-1",
        "worker_id": "worker-1",
        "capabilities": ["convert", "resize"],
        "idle_count": 2,
    }


def test_hundreds_of_changes_become_few_messages_and_the_last_state_always_gets_out() -> None:
    changes = 400

    async def body(worker: Worker) -> None:
        for number in range(changes):
            worker.change(number % 2)
            await asyncio.sleep(0.001)
        worker.change(7)
        await worker.until(lambda: worker.recorder.counts[-1] == 7)

    recorder = Worker(NEVER).live(body)
    times = [time for time, _ in recorder.published]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(recorder.published) > 2
    assert min(gaps) >= COALESCED * 0.99  # so there is no storm, however long the changes go on


def test_a_change_and_its_undoing_within_the_quiet_time_say_nothing() -> None:
    async def body(worker: Worker) -> None:
        await worker.until(lambda: worker.recorder.counts == [0])
        worker.change(1)
        worker.change(0)
        await asyncio.sleep(COALESCED * 2)  # past the time in which a difference is published
        assert worker.recorder.counts == [0]
        worker.change(3)
        await worker.until(lambda: len(worker.recorder.counts) > 1)

    assert Worker(NEVER).live(body).counts == [0, 3]


def test_the_heart_beats_without_a_change_and_while_everything_changes() -> None:
    async def still(worker: Worker) -> None:
        await worker.until(lambda: len(worker.recorder.counts) >= 5)

    async def restless(worker: Worker) -> None:
        while len(worker.recorder.counts) < 5:
            worker.change(worker.idle + 1)
            await asyncio.sleep(0.001)

    assert Worker(0.03).live(still).counts == [0, 0, 0, 0, 0]
    counts = Worker(0.2).live(restless).counts
    assert counts == sorted(counts)


def test_a_change_that_was_not_announced_goes_out_with_the_next_heartbeat() -> None:
    async def body(worker: Worker) -> None:
        await worker.until(lambda: worker.recorder.counts == [0])
        worker.idle = 4
        await worker.until(lambda: worker.recorder.counts[-1] == 4)

    Worker(0.2).live(body)
