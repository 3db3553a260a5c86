"""What is measured; one file for each section."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.context import Context
from benchmarks.results import Result
from benchmarks.sections import (
    capacity,
    contention,
    fairness,
    footprint,
    growth,
    latency,
    pictures,
    queue,
    server,
    startup,
)

SECTIONS: Mapping[str, Callable[[Context], Sequence[Result]]] = {
    "queue": queue.run,
    "growth": growth.run,
    "pictures": pictures.run,
    "latency": latency.run,
    "footprint": footprint.run,
    "startup": startup.run,
    "contention": contention.run,
    "fairness": fairness.run,
    "server": server.run,
    "capacity": capacity.run,
}
"""The sections by their names, in the order in which they are run."""
