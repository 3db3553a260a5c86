"""What a worker costs while nothing is to do: processor time, and memory by the number of slots."""

import shutil
import time
from functools import partial

from benchmarks import tasks
from benchmarks.context import Context
from benchmarks.deployment import Deployment
from benchmarks.results import NotMeasured, Result, plural
from benchmarks.rounds import wait_until

NAME = "footprint"

_SETTLING = 1.0
"""Seconds after the last job before idleness is measured."""
_JOBS_A_SLOT = 20


def run(context: Context) -> list[Result]:
    """Measure idle workers without a broker and with one, then workers of different sizes."""
    idle = {"broker off": partial(_idle_cpu, context, None), "broker on": partial(_idle_cpu_with_broker, context)}
    cpu = context.take_turns(idle, 1)
    sizes = {plural(slots, "slot"): partial(_memory, context, slots) for slots in context.plan.memory_slots}
    memory = context.take_turns(sizes)
    seconds = f"over {context.plan.idle_seconds:g} s, all processes"
    return [
        *(
            Result(NAME, "clworker, idle", case, "% of a core", found.values, seconds, found.note)
            for case, found in cpu.items()
        ),
        *(
            Result(NAME, "clworker, memory", case, "MiB", found.values, "PSS of all processes, after jobs", found.note)
            for case, found in memory.items()
        ),
    ]


def _idle_cpu_with_broker(context: Context) -> float:
    return _idle_cpu(context, context.servers.mosquitto.port)


def _idle_cpu(context: Context, broker_port: int | None) -> float:
    folder, seconds = context.new_folder(), context.plan.idle_seconds
    try:
        with Deployment(folder, broker_port) as deployment, deployment.workers() as workers:
            time.sleep(_SETTLING)
            before = workers.cpu_seconds()
            time.sleep(seconds)
            workers.check()
            return 100 * (workers.cpu_seconds() - before) / seconds
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory(context: Context, slots: int) -> float:
    """Return the MiB of a worker whose slots have all run jobs."""
    folder, jobs = context.new_folder(), _JOBS_A_SLOT * slots
    try:
        with Deployment(folder) as deployment, deployment.workers(slots=slots) as workers:
            deployment.begin_round()
            deployment.queue((tasks.NOOP, {"seconds": 0.01}) for _ in range(jobs))
            wait_until(lambda: deployment.completed() == jobs, "all jobs are completed", workers)
            found = workers.memory()
            if found == 0:
                raise NotMeasured("this kernel does not tell what processes share")
            return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)
