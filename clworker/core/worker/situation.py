"""How a worker stands at one moment, for whoever asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a worker is about."""

    STARTING = "starting"
    WORKING = "working"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class RunningJob:
    """What a slot is at; ``seconds`` are those since it began."""

    job_id: str
    task_type: str
    progress: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SlotState:
    """One slot's process, and the job in it."""

    pid: int
    job: RunningJob | None


@dataclass(frozen=True, slots=True)
class Situation:
    """One moment of a worker. ``database_fault`` says why nothing can be recorded now."""

    phase: Phase
    task_types: Sequence[str]
    slots: Sequence[SlotState]
    database_fault: str | None
    plugins_alive: bool
