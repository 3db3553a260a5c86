"""Hosts whose clocks are an hour wrong: nothing but what they write as a time may depend on them."""

import os
import re
import signal
import time

from tests.hosts.conftest import BEAT, Cluster
from tests.support.hosts import Host
from tests.support.processes import children_of
from tests.support.waiting import wait_until
from tests.support.worker import Worker

HOUR = 3_600
WRONG = {"ann": 0, "bob": HOUR, "cy": -HOUR}


def lose_power(host: Host, worker: Worker) -> None:
    """Cut a host off and kill all of its worker's processes."""
    host.cut()
    for pid in (worker.pid, *children_of(worker.pid)):
        os.kill(pid, signal.SIGKILL)
    worker.process.wait()


def hold_a_job(cluster: Cluster, worker: str, others: list[Worker]) -> str:
    """Queue a job that this worker claims, since the others are stopped meanwhile."""
    job = f"held-by-{worker}"
    for other in others:
        other.send(signal.SIGSTOP)
    cluster.queue("gated", job)
    wait_until(lambda: cluster.runs(job) == [(worker, None)], f"{worker} runs its job")
    for other in others:
        other.send(signal.SIGCONT)
    return job


def test_three_clocks_share_a_queue_and_the_dead_are_rescued_after_three_heartbeats(cluster: Cluster) -> None:
    hosts = {name: cluster.host(name, clock_is_ahead=seconds) for name, seconds in WRONG.items()}
    workers = {name: cluster.worker(host) for name, host in hosts.items()}
    jobs = [f"job-{number}" for number in range(60)]
    cluster.queue("brief", *jobs)
    now = time.time()
    for row in cluster.done(*jobs):
        ((host, cause),) = cluster.runs(row["job_id"])
        assert cause == "completed"
        assert abs(row["completed_at"] / 1000 - now - WRONG[host]) < HOUR / 2

    for lost, rescuer in (("bob", "cy"), ("cy", "ann")):
        worker = workers.pop(lost)
        job = hold_a_job(cluster, lost, list(workers.values()))
        for command in (("workers",), ("jobs", "stats"), ("jobs", "explain", job)):
            shown = hosts[rescuer].program.run(*command)
            assert shown.code == 0 and not re.search(r"-\d+(\.\d+)?(ms|s|m|h|d)\b", shown.stdout)
        lose_power(hosts[lost], worker)
        lost_at = time.monotonic()
        wait_until(lambda job=job: len(cluster.runs(job)) == 2, "another host has taken the job")  # type: ignore[misc]
        assert time.monotonic() - lost_at > 2 * BEAT
        cluster.gate.touch()
        (row,) = cluster.done(job)
        cluster.gate.unlink()
        assert row["retry_count"] == 1
        assert [cause for _, cause in cluster.runs(job)] == ["rescued", "completed"]
