"""Jobs whose inputs are not seen here (``--skip-missing-inputs``): left to other hosts, until the inputs appear.

The first claim finds out, and costs an attempt; from then on the job is passed over, and its
input looked for by nothing but its path, in a thread that a dead file server may hold.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from clworker.core.errors import StoreUnavailable
from clworker.core.models.attempts import Claim
from clworker.core.store.store import Store
from clworker.core.worker.confinement import sees_input
from clworker.core.worker.ledger import Ledger

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two looks for an input, at first and at the most."""

MOST_MISSED = 10_000
"""Jobs that are remembered; a worker that misses as many lacks its storage, and claims nothing more."""

_LONGEST_PATH = 4096
_AT_ONCE = 500

_log = structlog.get_logger("clworker.worker")


@dataclass(slots=True)
class _Missed:
    path: str
    pause: float
    due: float


class MissedInputs:
    """What this worker has missed. In the event loop's thread; claims look into it from theirs."""

    def __init__(self, store: Store, ledger: Ledger, roots: Sequence[Path]) -> None:
        self._still_queued = store.claims.still_queued
        self._call = ledger.call
        self._roots = roots
        self._missed: dict[str, _Missed] = {}
        self._told_full = False
        store.claims.pass_over(self._missed.keys())

    @property
    def is_full(self) -> bool:
        """Whether no more can be remembered, so that nothing may be claimed."""
        return len(self._missed) >= MOST_MISSED

    def takes(self, path: str) -> bool:
        """Tell whether this is a path that another host may see."""
        return len(path) <= _LONGEST_PATH

    def note(self, claim: Claim, path: str) -> None:
        """Pass over a job from now on. To be called before it goes back to the queue.

        Those first in the queue are remembered, and so are the first to be claimed when their
        input appears; one that comes when the memory is full is not, since nothing is claimed then.
        """
        if not self.is_full:
            self._missed[claim.job_id] = _Missed(path, FIRST_PAUSE, time.monotonic() + FIRST_PAUSE)
        _log.warning(
            "input not seen here; the job is left to another host",
            input=path,
            job_id=claim.job_id,
            task_type=claim.job.task_type,
        )
        if self.is_full and not self._told_full:
            self._told_full = True
            _log.error("too many inputs are not seen here; nothing is claimed until some are", jobs=MOST_MISSED)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Look for the inputs, for ever; ``on_change`` is called when a job need not be passed over any more."""
        while True:
            await asyncio.sleep(FIRST_PAUSE / 4)
            now = time.monotonic()
            due = {job_id: missed for job_id, missed in self._missed.items() if missed.due <= now}
            if due and await self._look(dict(list(due.items())[:_AT_ONCE])):
                on_change()

    async def _look(self, due: Mapping[str, _Missed]) -> bool:
        """Forget the jobs that wait no more and those whose input is there; tell whether there were any."""
        waiting: Collection[str] = due
        with suppress(StoreUnavailable):
            waiting = await self._call(self._still_queued, list(due))
        missing = {job_id: due[job_id].path for job_id in due if job_id in waiting}
        still = await _in_a_daemon(lambda: {name for name in missing if not sees_input(missing[name], self._roots)})
        for job_id, missed in due.items():
            if job_id in still:
                missed.pause = min(2 * missed.pause, LONGEST_PAUSE)
                missed.due = time.monotonic() + missed.pause
            else:
                del self._missed[job_id]
                _log.debug("job no longer passed over", job_id=job_id, still_queued=job_id in waiting)
        return len(still) < len(due)


async def _in_a_daemon(function: Callable[[], set[str]]) -> set[str]:
    """Call it in a thread that nobody waits for at the end of the program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[set[str]] = loop.create_future()

    def call() -> None:
        result = function()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(result))

    threading.Thread(target=call, name="inputs", daemon=True).start()
    return await done
