"""Many processes at one file: none fails for a lock, and each job is claimed and finished once."""

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.store import Store
from tests.conformance.conftest import TASK
from tests.support import databases

PROCESSES = 8
JOBS = int(os.environ.get("CONTENTION_JOBS", "160"))
"""More of them make a measurement of it: ``CONTENTION_JOBS=2000``."""


def work(path: str, instance: str) -> list[str]:
    """Claim and finish until nothing is queued, with the program's own patience; return what was finished."""
    store = Store(f"sqlite:///{path}")
    done = []
    while claims := store.claims.claim(instance, [TASK]):
        for claim in claims:
            outcome = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"by": instance})
            store.claims.finish(claim, outcome)
            done.append(claim.job_id)
    store.close()
    return done


def test_eight_processes_finish_every_job_once_and_meet_no_lock(database: Path) -> None:
    databases.create(database, "current")
    Store(f"sqlite:///{database}").close()
    databases.insert(database, [{"job_id": f"job-{number}"} for number in range(JOBS)])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # so that the imports are paid for once
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        workers = [pool.submit(work, str(database), f"instance-{number}") for number in range(PROCESSES)]
        done = [job_id for worker in workers for job_id in worker.result(300)]
    assert len(done) == JOBS
    assert max(Counter(done).values()) == 1
    attempts = databases.rows(database, "SELECT job_id, cause FROM clworker_attempts")
    assert Counter(attempt["cause"] for attempt in attempts) == {"completed": JOBS}
    assert len({attempt["job_id"] for attempt in attempts}) == JOBS
