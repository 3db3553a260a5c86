"""Pick-up by an idle worker on PostgreSQL: from a job's commit to the first line of its task."""

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import loops, tasks
from benchmarks.contenders.fleet import ProcrastinateFleet
from benchmarks.contenders.procrastinate import Procrastinate
from benchmarks.context import Context
from benchmarks.processes import Group
from benchmarks.processes import run as run_command
from benchmarks.results import NotMeasured, Result
from benchmarks.rounds import wait_until
from benchmarks.server_deployment import ServerDeployment

NAME = "server"
RIVAL = "Procrastinate"

_SETTLING = 0.05
_TOPIC = "cl_server"

Times = Sequence[tuple[int, int, int]]
"""For each job, in nanoseconds: when it was given to be queued, when that was done, when its task began."""


def run(context: Context) -> list[Result]:
    """Measure each by its own client, then a row that another program writes and tells the broker of."""
    ours, theirs = _times(context, _by_client), _times(context, _by_rival)
    found: list[Result] = []
    for case, first in (("from the commit", 1), ("from the call", 0)):
        rival = _result(RIVAL, f"pick-up, {case}", theirs, first)
        found += [_result("clworker", f"pick-up, {case}", ours, first).with_ratios((RIVAL, rival)), rival]
    foreign = _times(context, _by_another_program)
    return [*found, _result("clworker", "pick-up, an INSERT and a 'queued' event", foreign, 1)]


def _times(context: Context, measure: Callable[[Context], Times]) -> Times | NotMeasured:
    try:
        return measure(context)
    except NotMeasured as failure:
        return failure


def _result(subject: str, case: str, times: Times | NotMeasured, first: int) -> Result:
    if isinstance(times, NotMeasured):
        return Result(NAME, subject, case, "ms", [], note=str(times))
    samples = [(each[2] - each[first]) / 1e6 for each in times]
    high = statistics.quantiles(samples, n=20)[-1]
    return Result(NAME, subject, case, "ms", samples, f"1 idle worker; 95% within {high:.3g} ms")


def _by_client(context: Context) -> Times:
    with _deployment(context) as (deployment, _):
        command: list[str | Path] = [sys.executable, loops.SUBMITS, str(context.plan.latencies), tasks.NOOP]
        return _parsed(run_command(command, deployment.environ))


def _by_rival(context: Context) -> Times:
    Procrastinate(context.servers).check()
    folder = context.new_folder()
    try:
        with ProcrastinateFleet.open(folder, context.servers) as fleet, fleet.workers(1):
            return _parsed(fleet.latencies(context.plan.latencies))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _by_another_program(context: Context) -> Times:
    broker = context.servers.mosquitto
    with _deployment(context, broker.port) as (deployment, workers):
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        try:
            return [_one(deployment, workers, client) for _ in range(context.plan.latencies + 1)][1:]
        finally:
            client.disconnect()
            client.loop_stop()


def _one(deployment: ServerDeployment, workers: Group, client: Client) -> tuple[int, int, int]:
    time.sleep(_SETTLING)
    begun = time.monotonic_ns()
    (job_id,), committed = deployment.queue([(tasks.NOOP, {})], announced=False)
    event = {"job_id": job_id, "event_type": "queued", "progress": 0, "timestamp": time.time_ns() // 1_000_000}
    client.publish(_TOPIC, json.dumps(event), qos=1)
    started: list[int | None] = [None]

    def has_started() -> bool:
        started[0] = deployment.started_ns(job_id)
        return started[0] is not None

    wait_until(has_started, "the job is completed", workers)
    return begun, committed, started[0] or 0


@contextmanager
def _deployment(context: Context, broker_port: int | None = None) -> Iterator[tuple[ServerDeployment, Group]]:
    folder = context.new_folder()
    try:
        with (
            ServerDeployment(folder, context.servers.postgresql, broker_port) as deployment,
            deployment.workers() as workers,
        ):
            yield deployment, workers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parsed(lines: str) -> Times:
    parse = partial(map, int)
    return [(begun, returned, started) for begun, returned, started in map(parse, map(str.split, lines.splitlines()))]
