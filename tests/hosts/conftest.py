"""A site of several hosts, and workers on them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import databases
from tests.support.hosts import Host, Site
from tests.support.plugins import PluginFolder
from tests.support.postgres import Place
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Watcher
from tests.support.worker import Worker, wait_for_jobs

BEAT = 1.0
"""Seconds between two heartbeats of the workers here; three missed ones are a death."""


class Cluster:
    """One database of the site, hosts that use it, and the files that they share."""

    def __init__(self, site: Site, stack: ExitStack, folder: Path, plugins: PluginFolder) -> None:
        self._site = site
        self._stack = stack
        self._folder = folder
        self.plugins = plugins
        self.place: Place = site.fresh()
        self.gate = folder / "gate"
        self.storage = folder / "storage"
        self.storage.mkdir()
        databases.create(self.place, "current")
        self.watcher: Watcher = stack.enter_context(site.watcher(f"{CAPABILITY_TOPIC}#"))

    def host(self, name: str, clock_is_ahead: int = 0, **environ: str) -> Host:
        """Add a host; its clock is ahead by so many seconds."""
        variables = {
            "PYTHONPATH": str(self.plugins.path),
            "COMPUTE_STORAGE_DIR": str(self.storage),
            "MQTT_HEARTBEAT_INTERVAL": str(BEAT),
            "WORKER_POLL_INTERVAL": "0.5",
            **environ,
        }
        return self._stack.enter_context(self._site.host(name, self.place, self._folder, variables, clock_is_ahead))

    def worker(self, host: Host, *args: str, name: str | None = None) -> Worker:
        """Start a worker on a host, of its name, and wait until it takes jobs."""
        worker = self.worker_without_waiting(host, *args, name=name)
        worker.wait_for("worker started")
        return worker

    def worker_without_waiting(self, host: Host, *args: str, name: str | None = None) -> Worker:
        """Start a worker on a host."""
        folder = self._folder / f"{host.name}-{name or 'worker'}"
        worker = Worker(host.program, folder, "-w", name or host.name, *args)
        worker.database = self.place
        return self._stack.enter_context(worker)

    def queue(self, task_type: str, *job_ids: str, **columns: Any) -> None:
        """Queue jobs as another program would."""
        rows = [{"job_id": job_id, "task_type": task_type, **columns} for job_id in job_ids]
        databases.insert(self.place, rows)

    def done(self, *job_ids: str) -> list[dict[str, Any]]:
        """Wait until all these jobs are completed."""
        return wait_for_jobs(self.place, *job_ids)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job's row."""
        return databases.rows(self.place, "SELECT * FROM jobs WHERE job_id = ?", job_id)[0]

    def runs(self, job_id: str) -> list[tuple[str, str | None]]:
        """Return who has tried a job and what came of it; without what was claimed and never begun."""
        query = (
            "SELECT host, cause FROM clworker_attempts JOIN clworker_instances USING (instance)"
            " WHERE job_id = ? AND cause IS DISTINCT FROM 'never-started' ORDER BY clworker_attempts.id"
        )
        return [(row["host"], row["cause"]) for row in databases.rows(self.place, query, job_id)]

    def registered(self) -> set[str]:
        """Return the names of the instances that nobody has ended."""
        query = "SELECT worker_id FROM clworker_instances WHERE ended_at IS NULL"
        return {row["worker_id"] for row in databases.rows(self.place, query)}

    def capability(self, worker_id: str) -> dict[str, Any] | None:
        """Return what the broker retains of a worker, as the watcher has seen it."""
        seen = [message for message in self.watcher.seen if message.topic == CAPABILITY_TOPIC + worker_id]
        found: dict[str, Any] | None = seen[-1].json if seen else None
        return found

    def idle(self, worker_id: str, count: int) -> None:
        """Wait until a worker's message says so many free slots."""
        wait_until(
            lambda: (self.capability(worker_id) or {}).get("idle_count") == count, f"{worker_id} has {count} free slots"
        )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """PostgreSQL and Mosquitto in networks of their own, once for all tests."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def cluster(site: Site, tmp_path: Path, plugins: PluginFolder) -> Iterator[Cluster]:
    """An empty queue, and a task ``gated`` that ends once the gate is there."""
    with ExitStack() as stack:
        made = Cluster(site, stack, tmp_path, plugins)
        plugins.install_gated("gated", made.gate)
        plugins.install_plain("brief", 'time.sleep(0.03)\nreturn {"status": "ok", "task_output": {}}')
        yield made
