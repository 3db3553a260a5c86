"""What is handed in at the desk: recorded in the end, given up only where waiting is no use, told in few words."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from clworker.core.errors import ClaimLost, DatabaseLost, StoreUnavailable
from clworker.core.models.attempts import Cause, Claim, Ending, Outcome, Return
from clworker.core.store.claims import Settlement
from clworker.core.store.store import Store
from clworker.core.worker import desk
from clworker.core.worker.desk import Desk, Matter
from clworker.core.worker.ledger import Ledger
from tests.support import databases, foreign
from tests.support.instances import Member

TASK = "image_resize"
BACK_IN_QUEUE = Return(Cause.STOPPED)


class Office:
    """A desk over a real database, with jobs claimed for it."""

    def __init__(self, store: Store, database: Path, ledger: Ledger) -> None:
        self.store = store
        self.database = database
        self.member = Member(database)
        store.instances.register(self.member.instance, self.member.file)
        self.desk = Desk(store, ledger, self.member.id, [TASK])
        self.told: list[object] = []
        self.cleaned = 0

    def claims(self, *job_ids: str) -> list[Claim]:
        databases.insert(self.database, [{"job_id": job, "created_at": at} for at, job in enumerate(job_ids)])
        return self.store.claims.claim(self.member.id, [TASK], len(job_ids))

    def hand_in(self, claim: Claim, conclude: Callable[[], Ending] = lambda: BACK_IN_QUEUE) -> None:
        def clean_up() -> None:
            self.cleaned += 1

        self.desk.hand_in(Matter(Settlement(claim, conclude), self.told.append, clean_up))

    def statuses(self) -> list[str]:
        return [row["status"] for row in databases.rows(self.database, "SELECT status FROM jobs ORDER BY created_at")]


@pytest.fixture
def office(store: Store, database: Path) -> Iterator[Office]:
    with closing(Ledger()) as ledger:
        made = Office(store, database, ledger)
        yield made
        made.member.die()


def failing(*failures: Exception) -> Callable[[], Ending]:
    left = iter(failures)

    def conclude() -> Ending:
        failure = next(left, None)
        if failure is not None:
            raise failure
        return Outcome.failed("done")

    return conclude


def exchange(office: Office, limit: int = 0, times: int = 1) -> list[str]:
    """Exchange so many times; return the jobs that were claimed."""

    async def run() -> list[str]:
        claimed = []
        for _ in range(times):
            done = await office.desk.exchange(limit, len)
            claimed += [claim.job_id for claim in done.claims] if done else []
        return claimed

    return asyncio.run(run())


def test_outcomes_are_recorded_and_the_next_jobs_claimed_at_once(office: Office) -> None:
    first, second = office.claims("a", "b")
    office.hand_in(first, failing())
    office.hand_in(second)
    databases.insert(office.database, [{"job_id": "c", "created_at": 7}])
    assert exchange(office, limit=2) == ["b", "c"]
    assert office.told == [Outcome.failed("done"), BACK_IN_QUEUE]
    assert (office.statuses(), office.cleaned, office.desk.is_clear) == (["error", "processing", "processing"], 2, True)


def test_one_that_has_to_wait_holds_up_no_other(office: Office) -> None:
    waiting, other = office.claims("a", "b")
    office.hand_in(waiting, failing(*[StoreUnavailable("its disk is full")] * 2))
    office.hand_in(other, failing())
    exchange(office)
    assert (office.statuses(), office.cleaned) == (["processing", "error"], 1)
    assert office.desk.is_closed and not office.desk.is_clear
    exchange(office, times=2)
    assert (office.statuses(), office.cleaned, len(office.told)) == (["error", "error"], 2, 2)
    assert office.desk.is_clear and not office.desk.is_closed


def test_a_claim_that_is_lost_is_told_and_changes_nothing(office: Office) -> None:
    (claim,) = office.claims("a")
    foreign.reset(office.database, "a")
    office.hand_in(claim, failing(AssertionError("nothing is to be concluded")))
    exchange(office)
    assert isinstance(office.told[0], ClaimLost)
    assert (office.statuses(), office.cleaned) == (["queued"], 1)
    assert databases.rows(office.database, "SELECT cause FROM clworker_attempts") == [{"cause": "superseded"}]


def test_each_reason_is_said_once_however_often_it_comes(office: Office) -> None:
    (claim,) = office.claims("a")
    locked, full = StoreUnavailable("locked"), StoreUnavailable("full")
    office.hand_in(claim, failing(*[locked] * 20, *[full] * 20, *[locked, full] * 5))
    with capture_logs() as lines:
        exchange(office, times=60)
    said = [(line["log_level"], line.get("reason")) for line in lines]
    assert said == [("warning", "locked"), ("warning", "full"), ("info", None)]
    assert office.statuses() == ["error"]


def test_a_whole_database_that_is_away_keeps_everything_for_later(office: Office) -> None:
    claims = office.claims("a", "b")
    for claim in claims:
        office.hand_in(claim, failing())
    away = office.database.with_name("away")
    office.database.rename(away)
    assert exchange(office, limit=1, times=3) == []
    assert office.told == [] and office.desk.is_closed
    away.rename(office.database)
    exchange(office)
    assert office.statuses() == ["error", "error"]


def test_patience_ends_only_when_it_was_told_to(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "LAST_PATIENCE", 0.0)
    (claim,) = office.claims("a")
    failure = StoreUnavailable("full")
    office.hand_in(claim, failing(*[failure] * 4))
    exchange(office, times=3)
    assert office.told == []
    office.desk.lose_patience()
    exchange(office)
    assert (office.told, office.cleaned, office.desk.is_clear) == ([failure], 1, True)
    assert office.statuses() == ["processing"]  # for a rescuer


def test_a_database_that_is_lost_is_no_matter_of_patience(office: Office) -> None:
    (claim,) = office.claims("a")
    office.hand_in(claim, failing(DatabaseLost("replaced")))
    with pytest.raises(DatabaseLost):
        exchange(office)
    assert not office.desk.is_clear
    asyncio.run(office.desk.abandon(DatabaseLost("replaced")))
    assert isinstance(office.told[0], DatabaseLost)
    assert (office.cleaned, office.desk.is_clear) == (1, True)
