"""Outcomes that another program's constraint on ``jobs`` refuses."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from clworker.core.errors import UsageFault
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.claims import Settlement
from clworker.core.worker.desk import Desk, Matter
from clworker.core.worker.ledger import Ledger
from tests.conformance.conftest import TASK, Bench
from tests.support import databases
from tests.support.emptied import Emptied

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED)


VALUE = "a value cannot be kept in the database:"
CONSTRAINT = "ALTER TABLE jobs ADD CONSTRAINT not_this_one CHECK (status <> 'completed' OR job_id <> 'job-1')"
TRIGGER = """
CREATE FUNCTION not_this_one() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not this one''; END';
CREATE TRIGGER not_this_one BEFORE UPDATE ON jobs FOR EACH ROW
    WHEN (NEW.status = 'completed' AND NEW.job_id = 'job-1') EXECUTE FUNCTION not_this_one()
"""


@pytest.mark.parametrize(
    "rule, told", [(CONSTRAINT, VALUE), (TRIGGER, "a trigger of the database refuses the row: not this one")]
)
def test_an_outcome_that_is_refused_ends_its_own_job_and_holds_up_no_other(
    postgresql: Emptied, database: Path, rule: str, told: str
) -> None:
    """Else it would stop the worker, and each that runs the job after it."""
    place = postgresql.fresh("current", database)
    store = databases.open_store(place)
    bench = Bench(store, place, "current")
    databases.execute(place, rule)
    names = [f"job-{number}" for number in range(4)]
    for place_in_queue, name in enumerate(names):
        bench.queue(name, created_at=place_in_queue)
    results: list[object] = []
    asked: list[bool] = []

    async def settle_all() -> None:
        with closing(Ledger()) as ledger:
            desk = Desk(store, ledger, "instance-a", [TASK])
            desk.ask = lambda: asked.append(True)
            for claim in store.claims.claim("instance-a", [TASK], len(names)):
                desk.hand_in(Matter(Settlement(claim, lambda: DONE), results.append, None))
            while asked:
                asked.clear()
                await desk.exchange(0, len)
            assert desk.is_clear

            databases.execute(place, "UPDATE jobs SET status = 'queued' WHERE job_id = 'job-1'")
            databases.execute(place, "ALTER TABLE jobs ADD CONSTRAINT none CHECK (status = 'processing') NOT VALID")
            (claim,) = store.claims.claim("instance-a", [TASK])
            desk.hand_in(Matter(Settlement(claim, lambda: DONE), results.append, None))
            await desk.exchange(0, len)
            with pytest.raises(UsageFault, match="violates check constraint"):
                await desk.exchange(0, len)
            assert not desk.is_clear

    asyncio.run(settle_all())
    refused = results.pop(1)
    assert results == [DONE] * 3
    assert isinstance(refused, Outcome) and refused.error_message is not None
    assert refused.error_message.startswith(f"the outcome cannot be recorded: {told}")
    assert [bench.row(name)["status"] for name in names] == ["completed", "processing", "completed", "completed"]
    store.close()
