"""Containers that share one database through a volume: equal host names and pids tell nothing, locks do."""

import signal
from pathlib import Path

from tests.support import databases
from tests.support.containers import in_container
from tests.support.plugins import PluginFolder, wait_at_gate
from tests.support.processes import descendants_of, wait_until_gone
from tests.support.program import Program
from tests.support.worker import StartWorker


def test_the_job_of_a_killed_container_is_rescued_by_another_of_the_same_host_name_and_pid(
    program: Program, plugins: PluginFolder, database: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    start = StartWorker(in_container(program, "media"), tmp_path / "containers")
    try:
        first = start("-w", "worker-1")
        databases.queue(database, {"job_id": "a", "task_type": "gated"})
        wait_at_gate(gate)
        second = start("-w", "worker-2")
        third = start("-w", "worker-3", "-t", "gated")
        instances = databases.rows(database, "SELECT host, pid, boot_id FROM clworker_instances")
        assert len({tuple(row.values()) for row in instances}) == 1
        workers = program.ok("workers", "-f", "json").json
        assert [(worker["worker_id"], worker["alive"]) for worker in workers] == [
            (name, True) for name in ("worker-1", "worker-2", "worker-3")
        ]

        inside = descendants_of(first.pid)
        first.send(signal.SIGKILL)
        wait_until_gone(inside)
        gate.touch()
        (job,) = second.wait_for_jobs("a")
        assert job["retry_count"] == 1
        rescues = [line for worker in (second, third) for line in worker.logged("job of a dead worker rescued")]
        assert [(line["job_id"], line["proof"]) for line in rescues] == [("a", "lock")]
    finally:
        for worker in start.started:
            worker.__exit__()
