"""Death by heartbeats (invariant 3): told in three of them, and never of a worker that could not write."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clworker.core.models.workers import WorkerRecord
from clworker.core.worker.vigil import Vigil

INTERVAL = 10.0
OTHER = WorkerRecord("other", "worker-2", "run", "host", 1, 0, 0, int(INTERVAL * 1000), 0, None)


@dataclass
class Watch:
    """A vigil, its clock, and another worker that beats or does not."""

    now: float = 0.0
    other: WorkerRecord = OTHER
    interval: float = INTERVAL

    def __post_init__(self) -> None:
        self.vigil = Vigil(self.interval, lambda: self.now)

    def beat(self) -> None:
        self.other = replace(self.other, heartbeat=self.other.heartbeat + 1)

    def judges(self) -> bool:
        return self.vigil.silent([self.other]) == [self.other]

    def wait(self, seconds: float, *, renews: bool = True, beats: bool = False) -> list[float]:
        """Let the time pass in steps of half a second; return when the other was taken for dead."""
        verdicts = []
        for step in range(1, int(seconds / 0.5) + 1):
            self.now += 0.5
            if renews and step % int(self.interval / 0.5) == 0:
                self.vigil.renewed()
            if beats and step % int(self.other.heartbeat_interval_ms / 500) == 0:
                self.beat()
            if self.judges():
                verdicts.append(self.now)
        return verdicts


def started() -> Watch:
    watch = Watch()
    watch.vigil.renewed()
    assert not watch.judges()
    return watch


def test_silence_is_told_after_three_heartbeats_and_life_never() -> None:
    assert started().wait(100)[0] == 3 * INTERVAL
    assert started().wait(1000, beats=True) == []


def test_one_heartbeat_is_a_new_lease() -> None:
    watch = started()
    assert watch.wait(25) == []
    watch.beat()
    assert watch.wait(29.5) == []
    assert watch.wait(5)[0] == 55.5  # the heartbeat was seen half a second after it was made


def test_a_judge_that_was_stopped_begins_anew() -> None:
    watch = started()
    watch.now += 3600
    assert not watch.judges()
    watch.vigil.renewed()
    assert watch.wait(29.5) == []
    assert watch.wait(1)[0] == 3630


def test_a_judge_that_cannot_renew_judges_nobody() -> None:
    """A database that is locked keeps everybody from renewing."""
    watch = started()
    assert watch.wait(3600, renews=False) == []


def test_who_has_never_renewed_judges_nobody() -> None:
    assert Watch().wait(100, renews=False) == []


@pytest.mark.parametrize("other", [2.0, 60.0])
def test_the_longer_of_both_intervals_counts(other: float) -> None:
    watch = started()
    watch.other = replace(OTHER, heartbeat_interval_ms=int(other * 1000))
    assert watch.wait(400)[0] == 3 * max(other, INTERVAL)


def test_an_instance_that_went_and_came_is_watched_from_its_return() -> None:
    watch = started()
    watch.wait(20)
    assert watch.vigil.silent([]) == []
    assert watch.wait(29.5) == []


@settings(max_examples=30)
@given(
    stalls=st.lists(st.tuples(st.floats(0.1, 500), st.floats(0, 200)), max_size=8),
    intervals=st.tuples(st.sampled_from([0.5, 1.0, 5.0, 30.0]), st.sampled_from([0.5, 1.0, 5.0, 30.0])),
    phase=st.floats(0, 1),
)
def test_no_stall_of_the_database_kills_a_worker_that_beats_whenever_it_can(
    stalls: list[tuple[float, float]], intervals: tuple[float, float], phase: float
) -> None:
    """Both try to write at their times; while the database stalls, both wait for its end."""
    ours, theirs = intervals
    watch = Watch(other=replace(OTHER, heartbeat_interval_ms=int(theirs * 1000)), interval=ours)
    due = {"ours": 0.0, "theirs": theirs * phase}
    busy_until = 0.0

    def pass_time(until: float) -> None:
        while watch.now < until:
            watch.now = min(until, watch.now + 0.25)
            if watch.now >= busy_until and watch.now >= due["theirs"]:
                watch.beat()
                due["theirs"] = watch.now + theirs
            if watch.now >= busy_until and watch.now >= due["ours"]:
                watch.vigil.renewed()
                due["ours"] = watch.now + ours
            assert not watch.judges()

    for quiet, stall in stalls:
        pass_time(watch.now + quiet)
        busy_until = watch.now + stall
        pass_time(busy_until)
    pass_time(watch.now + 200)
