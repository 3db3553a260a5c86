"""How many jobs a slot may hold: several that are over in a moment, else one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clworker.core.models.jobs import ComputeJob
from clworker.core.worker.pace import LONGEST_WAIT, MOST_HELD, Load, Pace, share_out

SECONDS = {"instant": 0.0001, "quick": 0.004, "slow": 1.0}


@pytest.fixture(scope="module")
def pace() -> Pace:
    known = Pace()
    for task_type, seconds in SECONDS.items():
        known.note(task_type, seconds)
    return known


def jobs(*task_types: str, retry_count: int = 0) -> list[ComputeJob]:
    nothing: dict[str, Any] = dict.fromkeys(ComputeJob.__dataclass_fields__)
    return [ComputeJob(**{**nothing, "task_type": task, "retry_count": retry_count}) for task in task_types]


def shared(pace: Pace, wanted: list[ComputeJob], slots: int) -> list[int]:
    return share_out(wanted, [Load() for _ in range(slots)], pace)


@pytest.mark.parametrize(("task", "held"), [("instant", MOST_HELD), ("quick", 5), ("slow", 1), ("unknown", 1)])
def test_a_slot_holds_as_many_as_are_over_in_a_moment(pace: Pace, task: str, held: int) -> None:
    assert shared(pace, jobs(*[task] * (MOST_HELD + 10)), 1) == [0] * held


def test_a_job_that_was_tried_before_runs_alone(pace: Pace) -> None:
    again = jobs("instant", retry_count=1)
    assert shared(pace, again + jobs("instant"), 1) == [0]
    assert shared(pace, jobs("instant") + again, 1) == [0]


def test_every_slot_gets_one_before_any_gets_two(pace: Pace) -> None:
    assert shared(pace, jobs(*["instant"] * 5), 3) == [0, 1, 2, 0, 1]
    assert shared(pace, jobs("slow", "instant", "instant"), 2) == [0, 1, 1]


def test_none_overtakes_a_better_one_that_has_to_wait(pace: Pace) -> None:
    assert shared(pace, jobs("instant", "slow", "instant"), 1) == [0]


def test_a_slow_one_behind_which_nobody_waits_takes_nothing_more(pace: Pace) -> None:
    (slow,) = jobs("slow")
    load = Load()
    load.add(pace.expected(slow))
    assert (load.room(pace.quickest), share_out(jobs("instant"), [load], pace)) == (0, [])


@pytest.mark.parametrize("running", ["slow", "unknown"])
def test_one_that_ends_soon_takes_one_more_of_any_task_but_none_that_was_tried(pace: Pace, running: str) -> None:
    def load(most: int = MOST_HELD) -> Load:
        ending = Load(ends_soon=True, most=most)
        ending.add(pace.expected(jobs(running)[0]))
        return ending

    assert load().room(pace.quickest) == 1
    assert share_out(jobs("slow", "instant"), [load()], pace) == [0]
    assert share_out(jobs("instant", retry_count=1), [load()], pace) == []
    assert (load(most=1).room(pace.quickest), share_out(jobs("instant"), [load(most=1)], pace)) == (0, [])


def test_the_average_follows_what_is_measured() -> None:
    pace = Pace()
    (job,) = jobs("task")
    pace.note("task", 0.001)
    assert pace.expected(job) == 0.001
    for _ in range(20):
        pace.note("task", 0.1)
    assert pace.expected(job) is None
    for _ in range(40):
        pace.note("task", 0.001)
    assert pace.expected(job) == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.0003, 0.0007, 0.0031, 0.0049, 0.0051, None])
@pytest.mark.parametrize("held", range(3))
def test_no_more_are_looked_at_than_can_be_taken(seconds: float | None, held: int) -> None:
    pace = Pace()
    if seconds is not None:
        pace.note("task", seconds)
    load = Load()
    for job in jobs(*["task"] * held):
        load.add(pace.expected(job))
    room = load.room(pace.quickest)
    taken = len(share_out(jobs(*["task"] * MOST_HELD), [load], pace))
    assert taken <= room <= taken + 1


@given(st.lists(st.sampled_from([*SECONDS, "unknown"])), st.integers(1, 4), st.integers(1, MOST_HELD))
def test_nobody_waits_long_and_nothing_is_shared_out_twice(
    pace: Pace, task_types: list[str], slots: int, most: int
) -> None:
    loads = [Load(most=most) for _ in range(slots)]
    wanted = jobs(*task_types)
    room = sum(load.room(pace.quickest) for load in loads)
    takers = share_out(wanted, loads, pace)
    for number in range(slots):
        held = [pace.expected(job) for job, taker in zip(wanted, takers, strict=False) if taker == number]
        assert len(held) <= most
        assert len(held) <= 1 or sum(seconds for seconds in held if seconds is not None) <= LONGEST_WAIT
        assert len(held) <= 1 or None not in held
    assert min(len(wanted), slots) <= len(takers) <= room
