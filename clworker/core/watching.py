"""Watching jobs from outside: what has changed since the last look, asked for only when something has."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clworker.core.errors import JobNotFound
from clworker.core.models.jobs import ComputeJob
from clworker.core.store.store import Store

_SHORTEST_PAUSE = 0.1
_SHARE = 10
"""A look that takes long is followed by a pause of so many times as long: we are a guest here."""
_BACKSTOP = 5.0
"""Seconds after which we look though no change was noticed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found. ``changed`` are the jobs that are new or not as they were, the ended ones first."""

    active: Sequence[ComputeJob]
    changed: Sequence[ComputeJob]
    counts: Counter[str]
    """How many jobs wait and run, seen or not; empty when one job is watched."""


class Watch:
    """Follows one job, or the first so many of those that run and wait."""

    def __init__(self, store: Store, job_id: str | None, limit: int) -> None:
        self._store = store
        self._probe = store.watch_changes()
        self._job_id = job_id
        self._limit = limit
        self._known: dict[str, ComputeJob] = {}
        self._looked_at = -_BACKSTOP
        self._took = 0.0

    def wait(self) -> Look | None:
        """Pause a moment and look if there may be something new; None when nobody has committed anything.

        Raises JobNotFound when the one job was deleted, and StoreUnavailable.
        """
        if self._took:
            time.sleep(max(_SHORTEST_PAUSE, self._took * _SHARE))
        began = time.monotonic()
        if not self._probe.changed() and began < self._looked_at + _BACKSTOP:
            return None
        look = self._look()
        self._looked_at = time.monotonic()
        self._took = self._looked_at - began
        return look

    def close(self) -> None:
        """Look no more."""
        self._probe.close()

    def _look(self) -> Look:
        if self._job_id is not None:
            active, counts = self._one(self._job_id), Counter[str]()
        else:
            active, counts = self._store.jobs.active(self._limit)
        gone = self._known.keys() - {job.job_id for job in active}
        ended = [job for job in self._store.jobs.several(gone) if job.is_final] if gone else []
        changed = [job for job in active if _state(job) != _state(self._known.get(job.job_id))]
        self._known = {job.job_id: job for job in active}
        return Look(active, [*ended, *changed], counts)

    def _one(self, job_id: str) -> list[ComputeJob]:
        job = self._store.jobs.get(job_id)
        if job is None:
            raise JobNotFound(f"job {job_id} was deleted while it was watched")
        return [job]


def _state(job: ComputeJob | None) -> object:
    return None if job is None else (job.status, job.progress, job.retry_count, job.started_at)
