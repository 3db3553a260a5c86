"""MQTT payloads of the CL server contract. Pure: values in, bytes out."""

import json
from dataclasses import dataclass

from clworker.core.clock import now_ms
from clworker.core.models import ComputeJobStatus

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
