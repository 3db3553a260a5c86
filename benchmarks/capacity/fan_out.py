"""How long one NOTIFY takes to reach everybody who listens, and what that costs the server."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import psycopg

from benchmarks.results import NotMeasured
from benchmarks.servers import PostgreSQL

_WITHIN = 20.0


@dataclass(frozen=True)
class Heard:
    """Milliseconds from the commit's answer until the last has heard, and the server's processor time for each."""

    milliseconds: list[float]
    cost: float


def heard_by(url: str, server: PostgreSQL, listeners: int, times: int) -> Heard:
    """Open so many connections that listen, and notify them so often. Raises NotMeasured."""
    with ExitStack() as stack, DefaultSelector() as selector:
        for _ in range(listeners):
            connection = stack.enter_context(psycopg.connect(url, autocommit=True))
            connection.execute("LISTEN clworker_queued")
            selector.register(connection.fileno(), EVENT_READ, connection)
        speaker = stack.enter_context(psycopg.connect(url, autocommit=True))
        before = server.group.cpu_seconds()
        samples = [_once(speaker, selector, listeners) for _ in range(times)]
        return Heard(samples, 1000 * (server.group.cpu_seconds() - before) / times)


def _once(speaker: "psycopg.Connection[Any]", selector: DefaultSelector, listeners: int) -> float:
    begun, heard = time.monotonic(), 0
    speaker.execute("NOTIFY clworker_queued")
    while heard < listeners:
        if time.monotonic() > begun + _WITHIN:
            raise NotMeasured(f"{heard} of {listeners} heard a notification within {_WITHIN:g} s")
        for key, _ in selector.select(1):
            key.data.pgconn.consume_input()
            while key.data.pgconn.notifies() is not None:
                heard += 1
    return (time.monotonic() - begun) * 1000
