"""``jobs explain``: real troubles, made on purpose, are named rightly."""

import csv
import io
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from clworker.core.clock import now_ms
from tests.support import databases
from tests.support.bench import Bench
from tests.support.broker import Broker, mute_server
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Watcher
from tests.support.worker import StartWorker
from tests.support.workers import capability

FIELDS = ["job_id", "status", "reason", "answer", "advice", "evidence"]


def explained(command: InProcess, job_id: str, **changes: str | None) -> dict[str, Any]:
    found: dict[str, Any] = command.ok("jobs", "explain", job_id, "-f", "json", **changes).json
    assert list(found) == FIELDS
    return found


def texts(found: dict[str, Any], kind: str) -> list[str]:
    return [evidence["text"] for evidence in found["evidence"] if evidence["kind"] == kind]


def test_a_workers_jobs_from_the_queue_to_its_death(
    seen_program: Program,
    command: InProcess,
    start_worker: StartWorker,
    plugins: PluginFolder,
    broker: Broker,
    database: Path,
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    names = ("running", "behind", "last")
    databases.queue(
        database,
        *({"job_id": name, "task_type": "gated", "created_at": number} for number, name in enumerate(names)),
        {"job_id": "other", "task_type": "nobody's"},
    )
    worker = start_worker("-w", "ann", "-t", "gated")
    worker.wait_for("job started")
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher:
        watcher.wait_for_state("ann", 0)

        running = explained(command, "running")
        assert running["reason"] == "running" and f"(pid {worker.pid})" in running["answer"]
        assert texts(running, "lock") == ["it holds its lock, so it lives"]
        assert "last message at the broker" in texts(running, "heartbeat")[0]
        waiting = explained(command, "last")
        assert waiting["answer"].startswith("It waits: every slot is busy, 1 job is ahead of it; no job like these")
        other = explained(command, "other")
        assert (other["reason"], texts(other, "broker")) == ("plugin-missing", [])
        assert 'no live worker announces the task "nobody\'s"' in other["answer"]

        # What its Will does when it is stopped or cut off; while it runs it would say again that it is here.
        worker.process.send_signal(signal.SIGSTOP)
        watcher.publish(f"{CAPABILITY_TOPIC}ann", b"", retain=True)
        silent = explained(command, "running")
        assert (silent["reason"], silent["status"]) == ("worker-silent", "processing")

        worker.process.kill()
        worker.process.wait()
        dead = wait_until(
            lambda: (found := explained(command, "running"))["reason"] == "worker-dead" and found, "it is dead"
        )
        assert dead and "waits for its rescue" in dead["answer"] and "retry --force running" in dead["advice"]

    gate.touch()
    assert command.run("jobs", "explain", "running", "--mqtt-user", "someone").code == 0
    bob = start_worker("-w", "bob", "-t", "gated")
    bob.wait_for_jobs(*names)
    done = explained(command, "running")
    assert done["reason"] == "completed"
    first, second = texts(done, "attempt")
    assert "'ann'" in first and "as rescued" in first and "'bob'" in second and "as completed" in second
    assert bob.stop().code == 0


def test_a_poison_job_and_a_broken_plugin(bench: Bench, command: InProcess) -> None:
    bench.task("poison", "os.kill(os.getpid(), signal.SIGKILL)")
    bench.plugins.install("plugin-bad", "import no_such_module", {"bad": "Task"})
    poison = bench.queue("poison", max_retries=1)
    bench.queue("bad")
    bench.program.drain()
    died = explained(command, poison)
    assert died["answer"].startswith("It was tried 2 times; at last the process that ran it was killed by SIGKILL at ")
    assert len(texts(died, "attempt")) == 2

    broken = explained(command, "bad")
    assert broken["reason"] == "plugin-broken"
    assert broken["answer"].endswith("ModuleNotFoundError: No module named 'no_such_module'")
    assert texts(broken, "broker") == ["the broker cannot be asked: BROADCAST_TYPE is noop"]


def test_a_row_that_another_program_has_claimed(command: InProcess, made_database: Path) -> None:
    databases.insert(made_database, [{"job_id": "a", "status": "processing", "started_at": now_ms() - 7_200_000}])
    foreign = explained(command, "a")
    assert (foreign["reason"], foreign["status"]) == ("foreign-worker", "processing")
    assert "(2h ago)" in foreign["answer"] and "jobs retry --force a" in foreign["advice"]
    command.ok("jobs", "cancel", "a")
    assert explained(command, "a")["reason"] == "cancelled"


def test_a_worker_of_another_database_is_seen_through(
    seen_program: Program, command: InProcess, broker: Broker, database: Path
) -> None:
    databases.queue(database, {"job_id": "a", "created_at": 1})
    with Watcher(broker.port, "none") as watcher:
        message = capability("far", timestamp=now_ms())
        watcher.publish(f"{CAPABILITY_TOPIC}far", message, retain=True)
        assert explained(command, "a")["reason"] == "not-taken"
        watcher.publish(f"{CAPABILITY_TOPIC}far", message | {"timestamp": 1}, retain=True)
        assert explained(command, "a")["reason"] == "worker-silent"
        watcher.publish(f"{CAPABILITY_TOPIC}far", b"?", retain=True)
        (told,) = texts(explained(command, "a"), "worker")
        assert "not JSON" in told


@pytest.mark.parametrize("answers", [False, True], ids=["away", "mute"])
def test_a_broker_that_does_not_answer_is_said_and_no_failure(
    command: InProcess, database: Path, seen_program: Program, broker: Broker, answers: bool
) -> None:
    databases.queue(database, {"job_id": "a"})
    broker.stop()
    with mute_server() as server:
        found = explained(command, "a", **(server.environ if answers else {}))
    assert found["reason"] == "no-worker"
    (told,) = texts(found, "broker")
    assert "is out of reach: " in told


def test_every_format_says_the_same(command: InProcess, database: Path) -> None:
    databases.queue(database, {"job_id": "abc", "status": "error", "error_message": "it\nbroke"})
    answer, advice, *evidence = command.ok("jobs", "explain", "ab").stdout.splitlines()
    found = json.loads(command.ok("jobs", "explain", "ab", "-f", "jsonl").stdout)
    assert answer == found["answer"].replace("\n", "\\n")
    assert advice == f"What to do: {found['advice']}"
    assert evidence == [f"  - {line['text']}" for line in found["evidence"]]
    (row,) = csv.DictReader(io.StringIO(command.ok("jobs", "explain", "ab", "-f", "csv").stdout))
    assert json.loads(row["evidence"]) == found["evidence"]
    assert "no job has the id 'zz'" in command.refused(2, "jobs", "explain", "zz")[0]
