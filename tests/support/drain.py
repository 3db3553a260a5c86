"""Runs queued jobs until none is left, in one worker: start-up is paid once for many jobs.

A program of its own, started by ``Program.drain``: settings come from the environment, the
jobs as they then stand go to stdout as JSON lines, the log to stderr.
"""

import asyncio
import json
from dataclasses import asdict

from clworker.core import launch
from clworker.core.environment import load_settings
from clworker.core.logs import prepare
from clworker.core.settings import Settings
from clworker.core.store.identity import Role
from clworker.core.worker.signals import StopRequest


async def drain(settings: Settings) -> None:
    """Run and print one job after another."""
    async with launch.ready_worker(settings, Role.ONCE, StopRequest()) as worker, worker:
        while (job := await worker.run_once()) is not None:
            print(json.dumps(asdict(job)), flush=True)


if __name__ == "__main__":
    loaded = load_settings({})
    prepare(loaded)
    asyncio.run(drain(loaded))
