"""Carries out what an operator asks for several jobs at once: all that can be done is done."""

from collections.abc import Collection
from dataclasses import dataclass

from clworker.core.errors import JobNotFound
from clworker.core.models import ComputeJobStatus
from clworker.core.settings import Settings
from clworker.core.store.care import Action, Cared
from clworker.core.store.store import Store


@dataclass(frozen=True)
class Round:
    """What became of each job, in the order asked for, and what is wrong with ids that name none."""

    cared: list[Cared]
    unknown: list[str]


def cancel(settings: Settings, store: Store, prefixes: Collection[str]) -> Round:
    """End the jobs whose ids begin so, and clear up after attempts of which nobody else does."""
    job_ids, unknown = _found(store, prefixes)
    cared = store.care.cancel(job_ids)
    living = {record.instance for record in store.instances.live() if record.alive}
    for one in cared:
        if one.action is Action.CANCELLED:
            _discard_outputs(settings, store, one, living)
    return Round(cared, unknown)


def retry(store: Store, prefixes: Collection[str], force: bool) -> Round:
    """Queue the jobs again whose ids begin so."""
    job_ids, unknown = _found(store, prefixes)
    return Round(store.care.retry(job_ids, force=force), unknown)


def tell(settings: Settings, done: Round) -> None:
    """Publish the new state of every job that was changed."""
    from clworker.core.presence.broadcaster import get_broadcaster, shutdown_broadcaster
    from clworker.core.presence.messages import JobEvent

    changed = [one.job for one in done.cared if one.action in (Action.CANCELLED, Action.QUEUED)]
    try:
        for job in changed:
            get_broadcaster(settings).publish_event(JobEvent(job.job_id, ComputeJobStatus(job.status), job.progress))
    finally:
        shutdown_broadcaster()


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
