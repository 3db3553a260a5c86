"""Matching what the broker says with what the database knows."""

import json
from typing import Any

import pytest

from clworker.core import roll_call
from clworker.core.models.workers import WorkerRecord
from clworker.core.presence.retained import Retained
from clworker.core.roll_call import match
from tests.support.workers import capability

NOW = 1702123456789


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll_call, "now_ms", lambda: NOW)


def record(worker_id: str = "w", alive: bool | None = True, role: str = "run", started_at: int = 1) -> WorkerRecord:
    instance = f"{worker_id}-{role}-{started_at}"
    return WorkerRecord(instance, worker_id, role, "host", 7, started_at, 0, 30_000, 0, alive)


def said(worker_id: str = "w", /, **changes: Any) -> Retained:
    return Retained(worker_id, json.dumps(capability(worker_id, **{"timestamp": NOW, **changes})).encode())


def notes(messages: list[Retained] | None, *records: WorkerRecord) -> list[tuple[bool, str | None]]:
    """Return of each worker whether it shows its message, and its note cut at the first colon."""
    return [(view.idle_count is not None, view.note and view.note.split(":")[0]) for view in match(messages, records)]


def test_nobody_is_nobody() -> None:
    assert match([], []) == match(None, []) == []


@pytest.mark.parametrize(
    ("messages", "alive", "expected"),
    [
        ([said()], True, (True, None)),
        ([said()], None, (True, "on another host")),
        ([said()], False, (True, "dead")),
        ([said(timestamp=NOW - 91_000)], True, (True, "silent at the broker for 1m")),
        ([said(timestamp=NOW - 91_000)], None, (True, "silent at the broker for 1m")),
        ([said(timestamp=NOW - 89_000)], True, (True, None)),
        ([], True, (False, "not to be seen at the broker")),
        ([], False, (False, "dead")),
        (None, True, (False, None)),
        (None, False, (False, "dead")),
        ([Retained("w", b"?")], True, (False, "its message at the broker is not JSON")),
        ([said(worker_id="v")], True, (False, "its message at the broker names another worker, 'v'")),
    ],
)
def test_one_worker(messages: list[Retained] | None, alive: bool | None, expected: tuple[bool, str | None]) -> None:
    assert notes(messages, record(alive=alive)) == [expected]


@pytest.mark.parametrize("order", [1, -1])
def test_the_message_is_the_living_ones_and_not_the_dead_ones_of_that_name(order: int) -> None:
    records = [record(alive=False, started_at=1), record(alive=True, started_at=2)][::order]
    dead, living = match([said()], records)
    assert (dead.idle_count, dead.note) == (None, "dead: its lock is free, and its jobs wait for a rescuer")
    assert (living.idle_count, living.note) == (1, None)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_dead_ones_the_later_has_left_the_message(order: int) -> None:
    records = [record(alive=False, started_at=1), record(alive=False, started_at=2)][::order]
    assert [(view.started_at, view.idle_count) for view in match([said()], records)] == [(1, None), (2, 1)]


@pytest.mark.parametrize("role", ["once", "library"])
def test_who_never_shows_itself_is_neither_missed_nor_given_a_message(role: str) -> None:
    assert notes([], record(role=role)) == [(False, None)]
    assert notes([said()], record(role=role, started_at=1), record(started_at=2)) == [(False, None), (True, None)]
    assert sorted(notes([said()], record(role=role)), key=str) == [(False, None), (True, "only at the broker")]


def test_the_list_is_sorted_by_name_and_age() -> None:
    records = [record("b", started_at=2), record("c"), record("b", alive=False, started_at=1)]
    views = match([said("d"), said("a")], records)
    assert [(view.worker_id, view.started_at) for view in views] == [
        ("a", None),
        ("b", 1),
        ("b", 2),
        ("c", 1),
        ("d", None),
    ]
