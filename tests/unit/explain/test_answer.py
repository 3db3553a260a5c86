"""The answer to each state that a job can be in, and the evidence under it."""

import json
from dataclasses import asdict, replace

import pytest

from clworker.core.explain.answer import Explanation, explain
from clworker.core.explain.facts import Facts, Line
from tests.unit.explain.cases import BROKEN, CASES, HELD, NOOP, NOW, PROCESSING, RUNNING, STARTED, facts, view


def texts(found: Explanation, kind: str) -> list[str]:
    return [evidence.text for evidence in found.evidence if evidence.kind == kind]


def check(given: Facts, reason: str, answer: str) -> None:
    found = explain(given)
    assert (str(found.reason), found.answer) == (reason, answer)
    assert (found.job_id, found.status) == ("j", given.job.status)
    json.dumps(asdict(found))


@pytest.mark.parametrize(("given", "reason", "answer"), CASES.values(), ids=list(CASES))
def test_every_state_has_its_answer(given: Facts, reason: str, answer: str) -> None:
    check(given, reason, answer)


@pytest.mark.parametrize("name", [name for name, (given, *_) in CASES.items() if given.job.status == "error"])
def test_what_ended_in_error_can_be_retried(name: str) -> None:
    assert "clworker jobs retry j" in (explain(CASES[name][0]).advice or "")


@pytest.mark.parametrize("name", ["another program", "a dead worker", "a worker that has ended"])
def test_what_nobody_here_holds_can_be_taken_back(name: str) -> None:
    assert "clworker jobs retry --force j" in (explain(CASES[name][0]).advice or "")


def test_a_running_job_shows_how_far_it_is_and_how_its_worker_is_known_to_live() -> None:
    found = explain(PROCESSING["a live worker"][0])
    assert texts(found, "progress") == ["its row was last written at 2023-11-14T22:13:17Z (3s ago), at 40%"]
    assert texts(found, "lock") == ["it holds its lock, so it lives"]
    assert texts(found, "heartbeat") == [
        "heartbeat number 12, one every 30 s; last message at the broker at 2023-11-14T22:13:15Z (5s ago)"
    ]
    (heartbeat,) = (evidence.data for evidence in found.evidence if evidence.kind == "heartbeat")
    assert heartbeat == {"heartbeat": 12, "heartbeat_interval_ms": 30_000, "timestamp": NOW - 5_000}


def test_every_attempt_is_told_with_how_it_ended() -> None:
    attempts = [
        replace(HELD, worker_id=None, host=None, started_at=STARTED, ended_at=STARTED + 1_500, cause="stopped"),
        replace(HELD, ended_at=STARTED + 250, cause="died", signal=11, peak_memory_kib=2048),
        replace(HELD, ended_at=STARTED + 250, cause="died", exit_code=3),
        HELD,
    ]
    begin = "at 2023-11-14T22:12:20Z (1m ago)"
    assert texts(explain(facts(RUNNING, attempts=attempts)), "attempt") == [
        f"attempt 1: a worker since forgotten, {begin}, ended after 1.50 s as stopped",
        f"attempt 2: worker 'ann' on host host, {begin}, ended after 0.25 s as died: it was killed by SIGSEGV at 2 MiB",
        f"attempt 3: worker 'ann' on host host, {begin}, ended after 0.25 s as died: it ended with exit code 3",
        f"attempt 4: worker 'ann' on host host, {begin}, not ended",
    ]


def test_a_waiting_job_shows_the_workers_the_queue_the_plugin_and_why_the_broker_was_not_asked() -> None:
    many = tuple(f"task-{number}" for number in range(12))
    workers = [view(capabilities=many, note="a note"), view(worker_id="bob", host=None, capabilities=None)]
    found = explain(facts(workers=workers, line=Line(0), plugin=BROKEN, broker_silence=NOOP))
    seen = "last message at 2023-11-14T22:13:15Z (5s ago)"
    assert texts(found, "worker") == [
        f"worker 'ann' on host host (pid 7) announces {', '.join(many[:10])}, …, 0 free slots, {seen}; a note",
        f"worker 'bob' announces nothing, 0 free slots, {seen}",
    ]
    assert texts(found, "plugin") == ["the plugin here is broken: ImportError: no torch"]
    assert texts(found, "broker") == ["the broker cannot be asked: BROADCAST_TYPE is noop"]
    assert len(texts(found, "line")) == 1


@pytest.mark.parametrize("timestamp", [10**30, -(10**30), 0])
def test_times_of_strangers_do_no_harm(timestamp: int) -> None:
    explain(facts(workers=[view(timestamp=timestamp)], line=Line(0)))
