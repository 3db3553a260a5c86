"""``run --http`` from outside: probes and metrics over a worker's life, and clients that would hold it up."""

import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import databases
from tests.support.bench import Bench
from tests.support.broker import Broker, accepts, free_port
from tests.support.in_process import InProcess
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker, Worker


class Site:
    """What a worker serves."""

    def __init__(self, worker: Worker) -> None:
        (line,) = worker.wait_for("health, metrics and the page are served")
        self.url: str = line["url"]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    def state(self) -> Any:
        return json.loads(self.get("state.json")[1])

    def samples(self) -> dict[str, float]:
        """Return the sums of the metrics over all their labels."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.get("metrics")[1]):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def wait_for(self, path: str, answer: tuple[int, str]) -> None:
        wait_until(lambda: self.get(path) == answer, f"{path} answers {answer}")


def test_probes_and_metrics_from_start_to_drain(
    bench: Bench, start_worker: StartWorker, broker: Broker, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    bench.plugins.install_gated("gated", gate)
    bench.task("fails", "return {'status': 'error', 'error': 'no good'}")
    bench.task("dies", "os.kill(os.getpid(), signal.SIGKILL)")
    bench.queue("fails")
    bench.queue("dies", max_retries=1)
    worker = start_worker("--http", "0", "-c", "2", **broker.environ)
    site = Site(worker)
    assert site.url.startswith("http://127.0.0.1:")  # a port alone is one of this machine
    assert site.get("healthz") == (200, "alive\n")
    site.wait_for("readyz", (200, "ready\n"))

    worker.wait_for_jobs("dies-1", status="error")
    bench.queue("gated")
    bench.queue("gated")
    bench.queue("gated")
    wait_until(lambda: site.samples().get("clworker_slots_busy") == 2, "both slots are busy")
    found = site.samples()
    assert (found["clworker_jobs_finished_total"], found["clworker_jobs_returned_total"]) == (2, 1)
    assert (found["clworker_queue_jobs"], found["clworker_running_jobs"]) == (1, 2)
    assert (found["clworker_job_waiting_seconds_count"], found["clworker_job_running_seconds_count"]) == (2, 2)
    assert found["clworker_slot_memory_bytes"] > 2 << 20
    wait_until(lambda: site.samples()["clworker_mqtt_connected"] == 1, "the broker is connected")
    assert {failure["message"] for failure in site.state()["failures"]} >= {"no good"}

    broker.stop()
    wait_until(lambda: site.samples()["clworker_mqtt_connected"] == 0, "the broker is away")
    wait_until(lambda: site.state()["broker"]["reason"], "the reason is told")

    worker.send(signal.SIGTERM)
    site.wait_for("readyz", (503, "not ready: the worker drains: it lets running jobs end and takes no more\n"))
    assert site.get("healthz")[0] == 200
    wait_until(lambda: site.samples()["clworker_draining"] == 1, "the metrics say so too")
    gate.touch()
    assert worker.result().code == 0
    assert not accepts(site.port)


def test_clients_that_are_stuck_stop_neither_jobs_nor_probes_nor_the_end(
    bench: Bench, start_worker: StartWorker
) -> None:
    bench.task("quick", "return {'status': 'ok', 'task_output': {}}")
    worker = start_worker("--http", f"127.0.0.1:{free_port()}")
    site = Site(worker)
    clients = []
    for number in range(150):
        client = socket.create_connection(("127.0.0.1", site.port))
        client.sendall([b"", b"GET / HTTP/1.1\r\nHost: lo", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"][number % 3])
        clients.append(client)
    jobs = [bench.queue("quick") for _ in range(5)]
    worker.wait_for_jobs(*jobs)
    assert site.get("healthz") == (200, "alive\n")
    wait_until(lambda: site.samples()["clworker_jobs_finished_total"] == 5, "the jobs are counted")
    assert worker.stop().code == 0
    for client in clients:
        client.close()


def test_a_database_that_is_gone_and_back_is_told_by_readiness_alone(bench: Bench, start_worker: StartWorker) -> None:
    worker = start_worker("--http", "0", "--poll-interval", "0.2")
    site = Site(worker)
    site.wait_for("readyz", (200, "ready\n"))
    databases.execute(bench.database, "ALTER TABLE jobs RENAME TO away")
    wait_until(lambda: site.get("readyz")[0] == 503, "the worker is not ready")
    assert "no such table: jobs" in site.get("readyz")[1]
    assert site.get("healthz")[0] == 200
    databases.execute(bench.database, "ALTER TABLE away RENAME TO jobs")
    site.wait_for("readyz", (200, "ready\n"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("9464x", "is not an address with a port; write PORT, ADDR:PORT or [IPV6]:PORT"),
        ("::1:80", "is no address with a port"),
        ("http://localhost:80", "is no address with a port"),
        ("127.0.0.1:65536", "names no port between 0 and 65535"),
        ("no host:80", "is not a host name or address"),
        ("192.0.2.1:0", "this machine has no such address"),
        ("nowhere.invalid:80", "the address is not known"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_a_usage_error(command: InProcess, given: str, words: str) -> None:
    (error,) = command.refused(2, "run", "--http", given)
    assert "--http" in error and words in error


def test_a_port_in_use_is_a_usage_error_before_anything_is_claimed(command: InProcess, bench: Bench) -> None:
    job = bench.queue("image_resize")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        (error,) = command.refused(2, "run", CLWORKER_HTTP=where)
    assert error == f"--http (CLWORKER_HTTP): cannot listen on {where}: " + (
        "another program listens there already; choose another port"
    )
    assert bench.job(job)["status"] == "queued"
