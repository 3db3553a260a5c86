"""Many workers' conversations with the database, in one process: a thread and a store for each worker.

A program of its own: carry.py URL HOME NAME KIND WORKERS SECONDS LIMIT. It prints ``ready``, waits
for a line, works for so many seconds, prints how many operations that were, and waits for
another line.
"""

import heapq
import itertools
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import psycopg

from benchmarks.capacity.claimer import HEARTBEAT_INTERVAL, Claimer
from clworker.core.worker.membership import WATCH_EVERY, watch_everyone_every

POLL_INTERVAL = 5.0
"""Seconds; the default of WORKER_POLL_INTERVAL."""

_WARM_UP = 8
"""Operations on each connection before: the fifth of a statement is the first that the server has prepared."""

_INSERT = """
INSERT INTO jobs (job_id, task_type, priority, params, status, progress, created_at, retry_count, max_retries)
VALUES (%s, 'bench_foreign', 5, '{}', 'queued', 0, 0, 0, 3)"""

Operation = Callable[[], int]


def main(url: str, home: str, name: str, kind: str, workers: int, seconds: float, limit: int) -> None:
    """Work once, when told to."""
    if kind in ("insert", "insert+notify"):
        claimers = []
        operations = [_inserting(url, kind == "insert+notify") for _ in range(workers)]
    else:
        claimers = [Claimer(url, Path(home), f"{name}-{number}") for number in range(workers)]
        operations = [_operation(claimer, kind, limit) for claimer in claimers]
    for operation in operations:
        for _ in range(_WARM_UP):
            operation()
    print("ready", flush=True)
    sys.stdin.readline()
    deadline = time.monotonic() + seconds
    print(_idle(claimers, deadline) if kind == "idle" else _all_out(operations, deadline), flush=True)
    sys.stdin.readline()  # the server's processes are looked at meanwhile
    for claimer in claimers:
        claimer.close()


def _operation(claimer: Claimer, kind: str, limit: int) -> Operation:
    kinds: dict[str, Operation] = {
        "exchange": lambda: claimer.exchange(limit),
        "beat": claimer.beat,
        "look around": claimer.look_around,
        "survey": claimer.survey,
        "look": claimer.look,
        "idle": claimer.look_around,
    }
    return kinds[kind]


def _inserting(url: str, notify: bool) -> Operation:
    connection = psycopg.connect(url)

    def insert() -> int:
        connection.execute(_INSERT, (str(uuid.uuid4()),))
        if notify:
            connection.execute("NOTIFY clworker_queued")
        connection.commit()
        return 1

    return insert


def _all_out(operations: list[Operation], deadline: float) -> int:
    """Do each again and again, each in a thread of its own."""
    counts = [0] * len(operations)

    def run(number: int) -> None:
        while time.monotonic() < deadline:
            counts[number] += operations[number]()

    threads = [Thread(target=run, args=(number,)) for number in range(len(operations))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _idle(claimers: list[Claimer], deadline: float) -> int:
    """Do what idle workers do, at the default intervals, spread evenly."""
    now, order = time.monotonic(), itertools.count()
    due: list[tuple[float, int, float, Operation]] = []
    for number, one in enumerate(claimers):
        part = number / len(claimers)
        for pause, operation in (
            (WATCH_EVERY, one.look_around),
            (watch_everyone_every(HEARTBEAT_INTERVAL), one.survey),
            (POLL_INTERVAL, one.look),
            (HEARTBEAT_INTERVAL, one.beat),
        ):
            heapq.heappush(due, (now + part * pause, next(order), pause, operation))
    done = 0
    while due[0][0] < deadline:
        at, _, pause, operation = heapq.heappop(due)
        time.sleep(max(0.0, at - time.monotonic()))
        done += operation()
        heapq.heappush(due, (at + pause, next(order), pause, operation))
    return done


if __name__ == "__main__":
    URL, HOME, NAME, KIND, WORKERS, SECONDS, LIMIT = sys.argv[1:]
    main(URL, HOME, NAME, KIND, int(WORKERS), float(SECONDS), int(LIMIT))
