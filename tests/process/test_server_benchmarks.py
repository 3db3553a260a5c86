"""The benchmarks on PostgreSQL, in small: no rival is needed, and no speed is asserted."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.capacity.load import Carried, Load, carry
from benchmarks.capacity.model import Costs
from benchmarks.contenders.fleet import ClworkerFleet
from benchmarks.processes import Group
from benchmarks.rounds import completions_per_second
from benchmarks.server_deployment import ServerDeployment
from benchmarks.servers import PostgreSQL, postgresql_binaries
from tests.support.emptied import Emptied


@pytest.fixture
def server(postgresql: Emptied, tmp_path: Path) -> Iterator[PostgreSQL]:
    """The tests' server, as the benchmarks see one."""
    group = Group([postgresql.server.process], tmp_path / "no-log")
    seen = PostgreSQL(postgresql.server.port, postgresql_binaries() / "psql", group)
    yield seen
    seen.close()


def carried(operations: int, cpu: float) -> Carried:
    return Carried(1.0, [operations], cpu, 1.0)


def test_a_load_and_a_worker_get_through_the_jobs_that_are_counted(server: PostgreSQL, tmp_path: Path) -> None:
    with ServerDeployment(tmp_path / "deployment", server) as deployment:
        deployment.refill(2_000)
        deployment.register(3)
        found = carry(deployment, server, [Load("exchange", 1, 4)], 0.3)
        assert found.done[0] > 0
        settled = deployment.one("SELECT count(*) FROM jobs WHERE status = 'completed'")
        assert found.done[0] <= settled < 2_000
        assert deployment.one("SELECT count(*) FROM jobs WHERE status = 'processing'") == 0
        assert deployment.one("SELECT count(*) FROM clworker_instances WHERE ended_at IS NULL") == 3

        deployment.refill(0)
        fleet = ClworkerFleet(deployment)
        with fleet.workers(1) as workers:
            fleet.queue_noops(600)  # more than are recorded by one commit
            assert completions_per_second(fleet.completed, 600, 20.0, workers) > 0
        assert fleet.completed() == 600
        (job_id,), _ = deployment.queue([("bench_noop", {})], announced=False)
        assert deployment.started_ns(job_id) is None


def test_what_was_carried_is_told_by_the_operation_with_what_was_waited_for() -> None:
    found = Carried(2.0, [1_000, 7], 0.5, 1.0, Counter({"WALSync": 3, "processor": 1}))
    assert (found.rate, found.cost, found.busy) == (500.0, 0.5, 0.25)
    assert str(found) == (
        "0.50 ms of the server's processor each, 25% of a core; in transactions: WALSync 75%, processor 25%"
    )


def test_units_add_up_to_what_a_fleet_costs() -> None:
    surveys = {10: carried(100, 0.1), 110: carried(100, 0.2)}  # 1 ms, and 1 ms more for 100 more
    costs = Costs.of(job=2.0, grouped_job=0.5, beat=3.0, look=0.5, insert=1.0, look_around=0.1, surveys=surveys)
    assert (costs.survey, costs.survey_each) == pytest.approx((0.9, 0.01))
    assert costs.idle(10) == pytest.approx(10 * (2 * 0.1 + (0.9 + 10 * 0.01) / 3 + 0.5 / 5 + 3.0 / 30) / 1000)
    assert costs.idle(200) > 20 * costs.idle(10), "each looks after all the others"
    assert costs.jobs_a_second(10) == pytest.approx((1 - costs.idle(10)) * 1000 / (1.0 + 2.0 + 10 * 0.5))
    assert costs.jobs_a_second(10_000) == 0
