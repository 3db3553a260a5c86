"""All slots of a worker with what runs in them, and the sharing out of jobs among them."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest

import structlog

from clworker.core.errors import StoreUnavailable
from clworker.core.models.attempts import Cause, Claim
from clworker.core.models.jobs import ComputeJob
from clworker.core.store.queue import Choice
from clworker.core.worker.desk import Desk
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.lane import Lane
from clworker.core.worker.pace import MOST_HELD, Load, Pace, share_out
from clworker.core.worker.pool import SlotPool
from clworker.core.worker.situation import SlotState

CLAIMS_CHECKED_EVERY = 0.5
"""Seconds between two looks for claims that somebody has taken from us."""

_log = structlog.get_logger("clworker.worker")


class Lanes:
    """One lane for each slot of the pool."""

    def __init__(self, pool: SlotPool, around: Surroundings, desk: Desk) -> None:
        self._pool = pool
        self._around = around
        self._desk = desk
        self._pace = Pace()
        self._compared_at = time.monotonic()
        self._lanes: list[Lane] = []
        settings = around.settings
        # Whether a slot is worn out is decided between jobs, so none may wait in it.
        wears_out = settings.max_jobs_per_slot is not None or settings.max_memory_per_slot_mib is not None
        self._most_held = 1 if wears_out else MOST_HELD

    async def fill(self) -> None:
        """Have as many slots as there should be. Raises PluginHostFailed."""
        await self._pool.fill()
        known = {lane.slot for lane in self._lanes}
        self._lanes = [lane for lane in self._lanes if lane.slot in self._pool.slots]
        self._lanes += [
            Lane(slot, self._around, self._desk, self._pace) for slot in self._pool.slots if slot not in known
        ]

    @property
    def idle_count(self) -> int:
        """How many slots could take a job now."""
        return len(self._pool.idle)

    @property
    def states(self) -> list[SlotState]:
        """Every slot, and what it is at."""
        return [lane.state for lane in self._lanes]

    @property
    def are_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return all(lane.is_idle for lane in self._lanes)

    @property
    def tokens(self) -> frozenset[str]:
        """The claims of everything that runs or waits."""
        return frozenset(token for lane in self._lanes for token in lane.tokens)

    def appetite(self) -> tuple[int, Choice]:
        """Return how many jobs to look at for the slots, and how to choose from them."""
        missed = self._around.missed
        loads = [] if missed is not None and missed.is_full else self._loads()

        def choose(jobs: Sequence[ComputeJob]) -> int:
            return len(share_out(jobs, [replace(load) for load in loads], self._pace))

        quickest = self._pace.quickest
        return sum(load.room(quickest) for load in loads), choose

    def hand_out(self, claims: Sequence[Claim]) -> None:
        """Hand claimed jobs to the slots."""
        lanes = self._open_lanes()
        takers = share_out([claim.job for claim in claims], self._loads(), self._pace)
        for claim, taker in zip_longest(claims, takers):
            _log.debug("job claimed", job_id=claim.job_id, task_type=claim.job.task_type, attempt=claim.attempt)
            if taker is None:  # a slot has died while we claimed for it
                self._lanes[0].hand_back(claim)
            else:
                lanes[taker].hand(claim)

    async def watch_claims(self, instance: str) -> None:
        """End what runs without a claim, for ever: rescued, cancelled, reset or deleted by somebody."""
        store, call = self._around.store, self._around.ledger.call
        while True:
            await asyncio.sleep(CLAIMS_CHECKED_EVERY)
            tokens = self.tokens
            if tokens:
                with suppress(StoreUnavailable):
                    self.lose(tokens - await call(store.claims.held, instance))

    async def return_forgotten(self, instance: str) -> None:
        """Return to the queue what the database counts as ours, and we know nothing of. Not during an exchange.

        A server that took over lacks the last commits of the one before, where that did not
        wait for it: what ended there stands here as it was.
        """
        now = time.monotonic()
        if now < self._compared_at + self._around.settings.heartbeat_interval or not self._lanes:
            return
        self._compared_at = now
        known = self.tokens | self._desk.tokens
        with suppress(StoreUnavailable):
            for claim in await self._around.ledger.call(self._around.store.claims.forgotten, instance, known):
                self._lanes[0].hand_back(claim, Cause.FORGOTTEN)

    def lose(self, tokens: Collection[str]) -> None:
        """End the jobs of claims that are gone."""
        for lane in self._lanes:
            for token in set(lane.tokens) & set(tokens):
                lane.lose(token)

    def stop(self) -> None:
        """Return everything to the queue."""
        for lane in self._lanes:
            lane.stop()

    def _open_lanes(self) -> list[Lane]:
        return [lane for lane in self._lanes if not lane.slot.is_gone]

    def _loads(self) -> list[Load]:
        loads = [lane.load() for lane in self._open_lanes()]
        for load in loads:
            load.most = min(load.most, self._most_held)
        return loads
