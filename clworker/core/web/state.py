"""A snapshot in plain values: what the page polls, and what scripts may read."""

from typing import Any

from clworker.core.printable import printable
from clworker.core.web.history import SPAN
from clworker.core.web.snapshot import Snapshot

_LONGEST_NAME = 200
_LONGEST_MESSAGE = 500


def state_of(snapshot: Snapshot, hindrances: list[str]) -> dict[str, Any]:
    """Return what the page shows of a snapshot. Times are Unix milliseconds, durations seconds."""
    situation, overview, broker = snapshot.situation, snapshot.overview, snapshot.broker
    return {
        "now": snapshot.now,
        "ready": not hindrances,
        "phase": "starting" if situation is None else str(situation.phase),
        "hindrances": [_message(reason) for reason in hindrances],
        "task_types": [] if situation is None else [_name(task_type) for task_type in situation.task_types],
        "slots": _slots(snapshot),
        "queue": None
        if overview is None
        else [
            {
                "task_type": _name(load.task_type),
                "queued": load.queued,
                "running": load.running,
                "oldest_seconds": None if load.oldest_at is None else max(0, snapshot.now - load.oldest_at) / 1000,
            }
            for load in overview.tasks
        ],
        "failures": []
        if overview is None
        else [
            {
                "job_id": _name(failure.job_id),
                "task_type": _name(failure.task_type),
                "message": _message(failure.message),
                "ended_at": failure.ended_at,
            }
            for failure in overview.failures
        ],
        "broker": None
        if broker is None
        else {"connected": broker.connected, "reason": None if broker.reason is None else _message(broker.reason)},
        "history": {
            "span_seconds": SPAN,
            "completed": [entry.completed for entry in snapshot.history],
            "failed": [entry.failed for entry in snapshot.history],
            "average_wait_seconds": [_rounded(entry.average_wait) for entry in snapshot.history],
            "longest_wait_seconds": [_rounded(entry.longest_wait) for entry in snapshot.history],
        },
    }


def _slots(snapshot: Snapshot) -> list[dict[str, Any]]:
    if snapshot.situation is None:
        return []
    return [
        {
            "pid": slot.pid,
            "memory_bytes": snapshot.memory.get(slot.pid),
            "job": None
            if slot.job is None
            else {
                "job_id": _name(slot.job.job_id),
                "task_type": _name(slot.job.task_type),
                "progress": slot.job.progress,
                "seconds": _rounded(slot.job.seconds),
            },
        }
        for slot in snapshot.situation.slots
    ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _name(text: str) -> str:
    return _cut(text, _LONGEST_NAME)


def _message(text: str) -> str:
    return _cut(" ".join(text.split()), _LONGEST_MESSAGE)


def _cut(text: str, longest: int) -> str:
    """Return what another program wrote without anything that could turn or hide what stands beside it."""
    shown = printable(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
