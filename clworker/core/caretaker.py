"""Carries out what an operator asks for several jobs at once: all that can be done is done."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from clworker.core.errors import ClworkerError, DatabaseTrouble, JobNotFound
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.presence.messages import JobEvent
from clworker.core.presence.port import Broadcaster
from clworker.core.settings import Settings
from clworker.core.store.care import Action, Cared
from clworker.core.store.store import Store

BATCH = 100
"""So many jobs are changed in one transaction: about 0.2 s, since some programs wait only 5 s for a lock."""


@dataclass(frozen=True)
class Round:
    """What became of each job, in the order asked for, and what is wrong with ids that name none.

    ``failure`` is what cut the round short, if anything: the jobs after ``cared`` are unchanged.
    """

    cared: list[Cared]
    unknown: list[str]
    failure: ClworkerError | None


def cancel(settings: Settings, store: Store, prefixes: Collection[str]) -> Round:
    """End the jobs whose ids begin so, and clear up after attempts of which nobody else does."""
    done = _round(store, prefixes, store.care.cancel)
    with suppress(DatabaseTrouble):  # the jobs are cancelled all the same, which is to be told
        living = {record.instance for record in store.instances.live() if record.alive}
        for one in done.cared:
            if one.action is Action.CANCELLED:
                _discard_outputs(settings, store, one, living)
    return done


def retry(store: Store, prefixes: Collection[str], force: bool) -> Round:
    """Queue the jobs again whose ids begin so."""
    return _round(store, prefixes, lambda job_ids: store.care.retry(job_ids, force=force))


def tell(broadcaster: Broadcaster, done: Round) -> None:
    """Publish the new state of every job that was changed."""
    for one in done.cared:
        if one.action in (Action.CANCELLED, Action.QUEUED):
            event = JobEvent(one.job.job_id, ComputeJobStatus(one.job.status), one.job.progress)
            broadcaster.publish_event(event)


def _round(store: Store, prefixes: Collection[str], act: Callable[[Sequence[str]], list[Cared]]) -> Round:
    job_ids, unknown = _found(store, prefixes)
    cared: list[Cared] = []
    try:
        for first in range(0, len(job_ids), BATCH):
            cared += act(job_ids[first : first + BATCH])
    except ClworkerError as failure:
        return Round(cared, unknown, failure)
    return Round(cared, unknown, None)


def _found(store: Store, prefixes: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the jobs' ids, each once, and what is wrong with the other prefixes."""
    found: dict[str, None] = {}
    unknown = []
    for prefix in prefixes:
        try:
            found[store.jobs.find(prefix).job_id] = None
        except JobNotFound as failure:
            unknown.append(str(failure))
    return list(found), unknown


def _discard_outputs(settings: Settings, store: Store, cancelled: Cared, living: Collection[str]) -> None:
    """Remove the folders that attempts at a job have left; a living holder removes its own."""
    from clworker.core.worker.outputs import Placement

    attempts = store.jobs.attempts(cancelled.job.job_id)
    tokens = [attempt.token for attempt in attempts if attempt.instance not in living]
    if tokens:
        Placement(cancelled.job.params, settings.output_roots, tokens[-1], tokens[:-1]).discard()
