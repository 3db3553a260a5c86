"""Time and memory limits of a running job."""

import asyncio
import time
from dataclasses import dataclass

from clworker.core.models.attempts import Cause
from clworker.core.worker.slots import resident_kib

_LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Which limit a job has broken, in words for its ``error_message``."""

    cause: Cause
    message: str


async def first_exceeded(pid: int, time_limit: float | None, memory_limit_mib: int | None) -> Exceeded:
    """Return as soon as the process breaks a limit; wait for ever when there is none.

    ``time_limit`` is in seconds from now; memory counts the process and its descendants.
    """
    started = time.monotonic()
    while True:
        remaining = None if time_limit is None else started + time_limit - time.monotonic()
        if remaining is not None and remaining <= 0:
            return Exceeded(Cause.TIME_LIMIT, f"time limit of {time_limit:g} s exceeded")
        if memory_limit_mib is None:
            await asyncio.sleep(3600 if remaining is None else remaining)
            continue
        if resident_kib(pid) > memory_limit_mib * 1024:
            return Exceeded(Cause.MEMORY_LIMIT, f"memory limit of {memory_limit_mib} MiB exceeded")
        await asyncio.sleep(_LOOK_EVERY if remaining is None else min(_LOOK_EVERY, remaining))
