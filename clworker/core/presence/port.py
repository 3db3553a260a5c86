"""The port to the outside: what a broadcaster does, whatever it speaks."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from clworker.core.presence.messages import Capability, JobEvent


@dataclass(frozen=True)
class Presence:
    """How a worker stands at the broker, for as long as it is connected."""

    worker_id: str
    on_event: Callable[[bytes], None]
    """Called in the broadcaster's thread with each job event, of whomever."""
    may_connect: Callable[[], bool]
    """Asked before each connect; False means that the name belongs to another now."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the connection to the broker is."""

    connected: bool
    reason: str | None = None
    """Why there is no connection, as far as that is known."""


class Broadcaster(Protocol):
    """Tells the other programs about jobs and a worker. No method raises because of the broker."""

    def appear(self, presence: Presence) -> None:
        """Connect as a worker that is to be seen; to be called before anything is published."""

    def publish_event(self, event: JobEvent) -> None:
        """Send a job event if and when that is possible; never blocks."""

    def publish_capability(self, capability: Capability) -> None:
        """Make this the worker's retained message, now and after each reconnect; never blocks."""

    def clear_retained(self) -> bool:
        """Remove the worker's retained message; wait for the broker's word, False without it."""

    def clear_retained_of(self, worker_id: str, still_gone: Callable[[], bool]) -> threading.Event:
        """Remove a dead worker's retained message, which a crash of the broker can leave standing.

        ``still_gone`` is asked in the broadcaster's thread just before. Never blocks; the
        event is set once nothing is left to remove.
        """

    def standing(self) -> Standing | None:
        """Return how the connection is; None where there is none to have. From any thread; never blocks."""

    def close(self) -> None:
        """Wait a moment for what is on its way, then disconnect. Safe to call twice."""
