"""Everything that is shown, as it stands at one moment."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from clworker.core.clock import now_ms
from clworker.core.errors import ClworkerError
from clworker.core.presence.port import Broadcaster, Standing
from clworker.core.store.overview import Overview
from clworker.core.store.store import Store
from clworker.core.web.history import Entry, History
from clworker.core.web.pulse import Pulse
from clworker.core.worker.situation import Situation
from clworker.core.worker.slots import resident_kib

LONGEST_WAIT = 2.0
"""Seconds that anybody waits for the database; less than most probes do."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment, from ``now``, in Unix milliseconds. ``silence`` is in seconds since the worker's loop turned."""

    now: int
    silence: float
    situation: Situation | None
    memory: Mapping[int, int]
    """Bytes in use by each slot's process and its children, by its pid."""
    overview: Overview | None
    """None while the database does not answer, or is not open yet."""
    database_fault: str | None
    broker: Standing | None
    history: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look, once they are there."""

    store: Store
    broadcaster: Broadcaster


class Observatory:
    """Looks at the worker, its slots, the database and the broker, without being in the way of any."""

    def __init__(self, pulse: Pulse, history: History) -> None:
        self._pulse = pulse
        self._history = history
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="web-reader")
        self._reading: asyncio.Future[tuple[Overview, Mapping[int, int]]] | None = None
        self.sources: Sources | None = None

    async def look(self) -> Snapshot:
        """Take a snapshot."""
        situation, sources = self._pulse.situation, self.sources
        overview: Overview | None = None
        memory: Mapping[int, int] = {}
        fault: str | None = None
        if situation is not None and sources is not None:
            try:
                overview, memory = await self._read(sources.store, situation)
            except ClworkerError as failure:
                fault = str(failure)
            except TimeoutError:
                fault = f"the database has not answered within {LONGEST_WAIT:g} s"
        broker = None if sources is None else sources.broadcaster.standing()
        history = self._history.entries()
        return Snapshot(now_ms(), self._pulse.silence, situation, memory, overview, fault, broker, history)

    def close(self) -> None:
        """Look no more; whoever reads now may end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _read(self, store: Store, situation: Situation) -> tuple[Overview, Mapping[int, int]]:
        """Read what may block, in a thread; of several impatient callers all wait for one reader."""
        if self._reading is None or self._reading.done():
            pids = [slot.pid for slot in situation.slots]
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(
                self._thread, lambda: (store.overviews.take(), {pid: resident_kib(pid) * 1024 for pid in pids})
            )
            self._reading.add_done_callback(_note_failure)
        async with asyncio.timeout(LONGEST_WAIT):
            return await asyncio.shield(self._reading)


def _note_failure(reading: "asyncio.Future[tuple[Overview, Mapping[int, int]]]") -> None:
    # All who waited may have lost patience; asyncio would complain that nobody has looked.
    if not reading.cancelled():
        reading.exception()
