"""Gathers from database, broker and plugins what explains where a job is; only what matters for its status."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from clworker.core import roll_call
from clworker.core.clock import now_ms
from clworker.core.errors import PluginHostFailed, TaskUnknown
from clworker.core.explain.facts import Facts, Line, Plugin, open_attempt, serving
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.models.workers import WorkerView
from clworker.core.settings import Settings
from clworker.core.store.store import Store
from clworker.core.tasks.discovery import TaskInfo
from clworker.core.tasks.selection import find_task

_LATELY_MS = 600_000
"""Jobs that have ended within this time tell the present rate."""


def gather(settings: Settings, store: Store, prefix: str, list_tasks: Callable[[], Sequence[TaskInfo]]) -> Facts:
    """Return the facts about the job whose id begins so.

    The broker gets about two seconds to answer. ``list_tasks`` is called only when nobody
    is known to serve a queued job. Raises JobNotFound and StoreUnavailable.
    """
    job = store.jobs.find(prefix)
    if job.status not in (ComputeJobStatus.QUEUED, ComputeJobStatus.PROCESSING):
        return Facts(now_ms(), job, store.jobs.attempts(job.job_id))
    retained, trouble = roll_call.standing(settings)
    job = store.jobs.find(job.job_id)  # anew: the broker may have taken its time
    attempts = store.jobs.attempts(job.job_id)
    claim = open_attempt(job, attempts)
    known = Facts(
        now_ms(),
        job,
        attempts,
        holder=store.instances.get(claim.instance) if claim else None,
        workers=roll_call.match(retained, store.instances.live()),
        broker_silence=str(trouble) if trouble else "BROADCAST_TYPE is noop" if retained is None else None,
        heartbeat_ms=int(settings.heartbeat_interval * 1000),
    )
    if job.status != ComputeJobStatus.QUEUED:
        return known
    servers = serving(known)
    return replace(
        known,
        line=_line(store, job, servers),
        plugin=None if servers else _plugin(job.task_type, list_tasks),
    )


def _line(store: Store, job: ComputeJob, servers: Sequence[WorkerView]) -> Line:
    """Count what these workers take before the job; without any, jobs of its own type."""
    types = {job.task_type}.union(*(view.capabilities or () for view in servers))
    ahead = sum(count for task_type, count in store.jobs.ahead_of(job).items() if task_type in types)
    now = now_ms()
    ended = [ended_at for ended_at, task_type in store.jobs.ended_since(now - _LATELY_MS) if task_type in types]
    return Line(ahead, len(ended), max(1, now - min(ended, default=now)))


def _plugin(task_type: str, list_tasks: Callable[[], Sequence[TaskInfo]]) -> Plugin:
    try:
        found = find_task(list_tasks(), task_type)
    except TaskUnknown as failure:
        return Plugin("missing", str(failure))
    except PluginHostFailed as failure:
        return Plugin("unknown", str(failure))
    return Plugin(str(found.state), found.reason)
