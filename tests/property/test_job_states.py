"""The states of a job, against a plain model, while everybody who may interferes at random.

Checks after every step that no two workers hold one job (invariant 1), that an outcome is
recorded once and by the holder of the claim (2), and that retries are counted as promised (4).
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clworker.core.errors import ClaimLost
from clworker.core.models import Cause, Claim, ComputeJobStatus, NewJob, Outcome
from clworker.core.store.store import Store
from tests.support import databases, foreign
from tests.support.clock import stopped_clock

TASKS = ("a", "b")
INSTANCES = st.sampled_from(["instance-1", "instance-2"])
JOB_IDS = st.sampled_from(["job-1", "job-2"])
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a commit costs no disk's time: thousands of them are made here."""


@dataclass
class Row:
    """A row of ``jobs`` as the model knows it."""

    number: int
    task_type: str
    priority: int
    created_at: int
    max_retries: int
    status: str = "queued"
    progress: int = 0
    retry_count: int = 0
    started_at: int | None = None
    error_message: str | None = None

    def seen(self) -> list[object]:
        return [self.status, self.progress, self.retry_count, self.started_at, self.error_message]


class JobStates(RuleBasedStateMachine):
    """Two instances of ours, one foreign program, an operator's hand and a clock that jumps."""

    generation: str

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.stack.callback(shutil.rmtree, folder)
        self.clock = self.stack.enter_context(stopped_clock())
        self.path = folder / "media_store.db"
        databases.create(self.path, self.generation)
        self.store = Store(f"sqlite:///{self.path}")
        self.stack.callback(self.store.close)
        self.reader = self.stack.enter_context(closing(sqlite3.connect(self.path, isolation_level=None)))
        self.rows: dict[str, Row] = {}
        self.open: dict[str, tuple[str, str, int]] = {}
        """The open attempt at each job: its instance, token and witness."""
        self.inserted = 0
        self.placed: set[str] = set()

    def teardown(self) -> None:
        self.stack.close()

    # What the model says.

    def holds(self, claim: Claim) -> bool:
        row, attempt = self.rows.get(claim.job_id), self.open.get(claim.job_id)
        return (
            row is not None
            and row.status == "processing"
            and row.started_at == claim.started_at
            and attempt is not None
            and attempt[1] == claim.token
        )

    def order(self, item: tuple[str, Row]) -> tuple[int, int, int]:
        row = item[1]
        return (-row.priority if self.generation == "current" else 0, row.created_at, row.number)

    def try_as(self, claim: Claim, act: Callable[[], None]) -> bool:
        """Act by a claim; it has to work exactly when the model says that the claim is held."""
        held = self.holds(claim)
        try:
            act()
        except ClaimLost:
            assert not held
        else:
            assert held
        return held

    # Our own programs.

    @initialize(now=st.integers(min_value=1_000, max_value=10**13))
    def start(self, now: int) -> None:
        self.clock.now = now

    @rule(
        job_id=JOB_IDS,
        task=st.sampled_from(TASKS),
        priority=st.integers(0, 2),
        max_retries=st.integers(0, 2),
    )
    def submit(self, job_id: str, task: str, priority: int, max_retries: int) -> None:
        if job_id in self.rows:
            return
        self.store.jobs.add(NewJob(job_id, task, {}, priority, max_retries))
        self.inserted += 1
        self.rows[job_id] = Row(self.inserted, task, priority, self.clock.now, max_retries)

    @rule(
        target=claims,
        instance=INSTANCES,
        tasks=st.lists(st.sampled_from(TASKS), min_size=1, unique=True),
        limit=st.integers(1, 2),
    )
    def claim(self, instance: str, tasks: list[str], limit: int) -> object:
        waiting = [item for item in self.rows.items() if item[1].status == "queued" and item[1].task_type in tasks]
        expected = [job_id for job_id, _ in sorted(waiting, key=self.order)[:limit]]
        claimed = self.store.claims.claim(instance, tasks, limit)
        assert [claim.job_id for claim in claimed] == expected
        for claim in claimed:
            row = self.rows[claim.job_id]
            assert claim.started_at > (row.started_at or 0)
            assert claim.started_at >= self.clock.now
            row.status, row.progress, row.error_message = "processing", 0, None
            row.started_at = claim.started_at
            self.open[claim.job_id] = (instance, claim.token, claim.started_at)
        return multiple(*claimed)

    @rule(claim=claims, percent=st.integers(0, 99))
    def progress(self, claim: Claim, percent: int) -> None:
        if self.try_as(claim, lambda: self.store.claims.progress(claim, percent)):
            self.rows[claim.job_id].progress = percent

    @rule(claim=claims, fails=st.booleans())
    def finish(self, claim: Claim, fails: bool) -> None:
        done = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"token": claim.token})
        outcome = Outcome.failed(f"by {claim.token}") if fails else done
        placed: list[str] = []
        held = self.try_as(claim, lambda: self.store.claims.finish(claim, outcome, lambda: placed.append(claim.token)))
        assert placed == ([claim.token] if held else [])
        if held:
            assert claim.token not in self.placed
            self.placed.add(claim.token)
            row = self.rows[claim.job_id]
            row.status, row.error_message = str(outcome.status), outcome.error_message
            row.progress = row.progress if fails else 100
            del self.open[claim.job_id]

    @rule(claim=claims)
    def fail_to_place_outputs(self, claim: Claim) -> None:
        def place() -> None:
            raise OSError("no space left")

        outcome = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED)
        with pytest.raises(OSError if self.holds(claim) else ClaimLost):
            self.store.claims.finish(claim, outcome, place)

    @rule(claim=claims, dies=st.booleans())
    def give_back(self, claim: Claim, dies: bool) -> None:
        counted = dies and claim.job.retry_count < claim.job.max_retries
        cause = Cause.DIED if dies else Cause.STOPPED
        if self.try_as(claim, lambda: self.store.claims.give_back(claim, cause, counted=counted)):
            row = self.rows[claim.job_id]
            row.status, row.progress, row.retry_count = "queued", 0, claim.job.retry_count + counted
            del self.open[claim.job_id]

    @rule(instance=INSTANCES)
    def kill(self, instance: str) -> None:
        """The instance dies and is rescued; what it still does afterwards is a late finisher's."""
        expected = []
        for job_id, (holder, _, started_at) in list(self.open.items()):
            if holder != instance:
                continue
            del self.open[job_id]
            row = self.rows.get(job_id)
            if row is None or row.status != "processing" or row.started_at != started_at:
                continue
            expected.append(job_id)
            if row.retry_count >= row.max_retries:
                row.status = "error"
                total = row.max_retries + 1
                row.error_message = f"the worker died while it ran the job, attempt {row.retry_count + 1} of {total}"
            else:
                row.status, row.progress, row.retry_count = "queued", 0, row.retry_count + 1
        rescued = self.store.claims.rescue(instance)
        assert sorted(job.job_id for job in rescued) == sorted(expected)

    @rule(job_id=JOB_IDS, way=st.sampled_from(["cancel", "retry", "retry --force"]))
    def care(self, job_id: str, way: str) -> None:
        """An operator; no instance here is registered, so with force all may be taken from them."""
        row = self.rows.get(job_id)
        if row is None:
            return
        if way == "cancel":
            (cared,) = self.store.care.cancel([job_id])
            changes = row.status in ("queued", "processing")
            after: tuple[str, int, int, str | None] = ("error", row.progress, row.retry_count, "cancelled")
        else:
            (cared,) = self.store.care.retry([job_id], force=way == "retry --force")
            changes = row.status == "error" or (row.status == "processing" and way == "retry --force")
            after = ("queued", 0, 0, None)
        assert cared.action in (("cancelled", "queued") if changes else ("unchanged", "refused"))
        if changes:
            row.status, row.progress, row.retry_count, row.error_message = after
            self.open.pop(job_id, None)

    @rule(job_id=JOB_IDS)
    def delete(self, job_id: str) -> None:
        assert self.store.jobs.delete(job_id) is (job_id in self.rows)
        self.rows.pop(job_id, None)
        self.open.pop(job_id, None)

    # Everybody else.

    @rule(job_id=JOB_IDS, forget_time=st.booleans())
    def reset_by_hand(self, job_id: str, forget_time: bool) -> None:
        foreign.reset(self.path, job_id, "NULL" if forget_time else "started_at")
        if row := self.rows.get(job_id):
            row.status, row.progress = "queued", 0
            row.started_at = None if forget_time else row.started_at

    @rule(job_id=JOB_IDS)
    def foreign_claim(self, job_id: str) -> None:
        """A program without tokens claims; that it never does so in our claim's millisecond is all we ask."""
        row = self.rows.get(job_id)
        if row is None or row.status != "queued":
            return
        now = self.clock.now
        while job_id in self.open and self.open[job_id][2] == now:
            now += 1
        foreign.claim(self.path, job_id, now)
        row.status, row.progress, row.started_at = "processing", 0, now

    @precondition(lambda self: self.rows)
    @rule(job_id=JOB_IDS)
    def foreign_completion(self, job_id: str) -> None:
        """Whoever runs it: other programs do not look before they record an outcome."""
        row = self.rows.get(job_id)
        if row is not None and row.status == "processing":
            foreign.complete(self.path, job_id)
            row.status, row.progress = "completed", 100

    @rule(job_id=JOB_IDS)
    def delete_by_hand(self, job_id: str) -> None:
        foreign.delete(self.path, job_id)
        self.rows.pop(job_id, None)

    @rule(by=st.sampled_from([-(10**6), -7, -1, 1, 2, 5_000]))
    def clock_jumps(self, by: int) -> None:
        self.clock.now = max(1, self.clock.now + by)

    # What has to hold after every step.

    @invariant()
    def the_jobs_are_what_the_model_says(self) -> None:
        columns = "job_id, status, progress, retry_count, started_at, error_message"
        seen = {job_id: fields for job_id, *fields in self.reader.execute(f"SELECT {columns} FROM jobs")}
        assert seen == {job_id: row.seen() for job_id, row in self.rows.items()}

    @invariant()
    def no_job_has_two_holders(self) -> None:
        query = "SELECT job_id, instance, token, started_at FROM clworker_attempts WHERE ended_at IS NULL"
        attempts = self.reader.execute(query).fetchall()
        assert len({job_id for job_id, *_ in attempts}) == len(attempts)
        assert {job_id: tuple(attempt) for job_id, *attempt in attempts} == self.open

    @invariant()
    def retries_stay_within_their_limit(self) -> None:
        assert all(row.retry_count <= row.max_retries for row in self.rows.values())


@pytest.mark.parametrize("generation", list(databases.GENERATIONS))
def test_jobs_go_only_the_ways_that_the_model_allows(generation: str) -> None:
    machine = type("Machine", (JobStates,), {"generation": generation})
    limits = settings(max_examples=30, stateful_step_count=40)
    run_state_machine_as_test(machine, settings=limits)
