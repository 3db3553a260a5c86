"""MQTT payloads of the CL server contract. Pure: values in, bytes out, and back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clworker.core.clock import now_ms
from clworker.core.models.jobs import ComputeJobStatus

LARGEST = 64 << 10
"""Bytes of a message that are read: no program of the contract sends nearly as many."""

_EVENT_TYPES = {ComputeJobStatus.ERROR: "failed"}
"""Where the word of the database is not the one that clients wait for."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job has come into a state, or got on in it; ``progress`` is 0 to 100."""

    job_id: str
    status: ComputeJobStatus
    progress: int

    def payload(self) -> bytes:
        """Return the message's bytes, stamped with the time of now."""
        fields = {
            "job_id": self.job_id,
            "event_type": _EVENT_TYPES.get(self.status, str(self.status)),
            "progress": self.progress,
            "timestamp": now_ms(),
        }
        return json.dumps(fields).encode()


@dataclass(frozen=True, slots=True)
class Capability:
    """What a worker can do, and how many of its slots are free."""

    worker_id: str
    capabilities: Sequence[str]
    idle_count: int
    timestamp: int = 0

    def payload(self) -> bytes:
        """Return the message's bytes, stamped with the time of now.

        ``id`` is what the API service reads, ``worker_id`` what the SDK's clients require.
        """
        fields = {
            "id": self.worker_id,
            "worker_id": self.worker_id,
            "capabilities": sorted(self.capabilities),
            "idle_count": self.idle_count,
            "timestamp": now_ms(),
        }
        return json.dumps(fields).encode()

    @classmethod
    def parse(cls, payload: bytes) -> "Capability":
        """Read a message of whoever sent it. Raises ValueError with what is wrong with it."""
        if len(payload) > LARGEST:
            raise ValueError(f"is larger than {LARGEST >> 10} KiB")
        try:
            fields = json.loads(payload)
        except (ValueError, RecursionError):
            raise ValueError("is not JSON") from None
        if not isinstance(fields, dict):
            raise ValueError("is not a JSON object")
        worker_id = fields.get("worker_id", fields.get("id"))
        names = fields.get("capabilities")
        if not isinstance(worker_id, str):
            raise ValueError("has no worker_id")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("has no list of capabilities")
        return cls(worker_id, tuple(names), _whole(fields, "idle_count"), _whole(fields, "timestamp"))


def announces_queued(payload: bytes) -> bool:
    """Tell whether a job event says that a job was queued; never raises."""
    if len(payload) > LARGEST or b'"queued"' not in payload:
        return False  # most messages are our own and others' progress; do not parse those
    try:
        return bool(json.loads(payload)["event_type"] == "queued")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _whole(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"has no whole number {name}")
    return value
