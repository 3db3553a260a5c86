"""Writes that are insisted on: kept in the end, given up only where waiting is no use, without a flood in the log."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from clworker.core.errors import ClaimLost, DatabaseLost, StoreUnavailable
from clworker.core.worker import ledger
from clworker.core.worker.ledger import Ledger

LOCKED, FULL = StoreUnavailable("locked"), StoreUnavailable("full")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PAUSES", (0.001,))


def insist(failures: Sequence[Exception], give_up: bool = False) -> tuple[object, list[tuple[str, str | None]]]:
    """Insist on a call that fails so before it succeeds; return its result or failure, and what was logged."""
    left: Iterator[Exception] = iter(failures)

    def write() -> str:
        failure = next(left, None)
        if failure is not None:
            raise failure
        return "kept"

    async def run() -> object:
        event = asyncio.Event()
        if give_up:
            event.set()
        with closing(Ledger()) as made:
            try:
                return await made.insist("record outcome", event, write)
            except Exception as failure:
                return failure

    with capture_logs() as lines:
        result = asyncio.run(run())
    return result, [(line["log_level"], line.get("reason")) for line in lines]


def test_each_reason_is_said_once_however_often_it_comes() -> None:
    result, logged = insist([LOCKED] * 50 + [FULL] * 50 + [LOCKED, FULL] * 20)
    assert result == "kept"
    assert logged == [("warning", "locked"), ("warning", "full"), ("info", None)]


def test_what_succeeds_at_once_is_not_worth_a_line() -> None:
    assert insist([]) == ("kept", [])


@pytest.mark.parametrize("failure", [DatabaseLost("replaced"), ClaimLost()])
def test_a_failure_that_waiting_does_not_mend_comes_out_at_once(failure: Exception) -> None:
    assert insist([LOCKED, failure]) == (failure, [("warning", "locked")])


def test_a_stopping_worker_tries_for_a_while_and_then_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert insist([LOCKED] * 3, give_up=True)[0] == "kept"
    monkeypatch.setattr(ledger, "LAST_PATIENCE", 0.0)
    assert insist([LOCKED] * 3, give_up=True)[0] is LOCKED
