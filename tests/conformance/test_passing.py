"""Jobs that one worker passes over: it reaches those behind them in their order, and others can claim them."""

import pytest

from tests.conformance.conftest import Bench


@pytest.fixture
def waiting(bench: Bench) -> list[str]:
    """Ten jobs of two types, in the order of claiming."""
    names = [f"job-{number}" for number in range(10)]
    for number, name in enumerate(names):
        bench.queue(name, task_type="ab"[number % 2], created_at=number)
    return names


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_those_behind_are_claimed_in_their_order(bench: Bench, waiting: list[str], limit: int) -> None:
    passed = {"job-0", "job-1", "job-2", "job-5", "gone"}
    bench.store.claims.pass_over(passed)
    order: list[str] = []
    while claims := bench.store.claims.claim("instance-a", ["a", "b"], limit):
        order += [claim.job_id for claim in claims]
        assert all(claim.job.params == {} and claim.job.status == "processing" for claim in claims)
    assert order == [name for name in waiting if name not in passed]
    assert not bench.store.claims.any_waiting(["a", "b"])

    passed.remove("job-5")  # the collection may change
    assert [claim.job_id for claim in bench.store.claims.claim("instance-a", ["a", "b"], limit)] == ["job-5"]
    bench.store.claims.pass_over(())
    assert [claim.job_id for claim in bench.store.claims.claim("instance-b", ["b"])] == ["job-1"]


def test_which_of_them_wait_is_known(bench: Bench, waiting: list[str]) -> None:
    bench.store.claims.claim("instance-a", ["a"])
    assert bench.store.claims.still_queued([*waiting[:3], "gone"]) == {"job-1", "job-2"}
