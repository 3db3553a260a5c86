"""The states of a job, against a plain model, while everybody who may interferes at random.

Checks after every step that no two workers hold one job (invariant 1), that an outcome is
recorded once and by the holder of the claim (2), and that retries are counted as promised (4).
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

from clworker.core.errors import ClaimLost, InstanceEnded
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus, NewJob
from tests.support import databases, foreign
from tests.support.clock import stopped_clock
from tests.support.emptied import Emptied
from tests.support.instances import Member

TASKS = ("a", "b")
WORKERS = st.sampled_from(["worker-1", "worker-2", "worker-3"])
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
    """Workers of ours that die, fall silent and come back, one foreign program, and a clock that jumps."""

    generation: str
    server: Emptied | None = None
    """Where the database is to be a server's."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.stack.callback(shutil.rmtree, folder)
        self.clock = self.stack.enter_context(stopped_clock())
        self.path: databases.Place = folder / "media_store.db"
        if self.server is not None:
            self.path = self.server.place(self.generation, folder / "media_store.db")
        else:
            databases.create(folder / "media_store.db", self.generation)
        self.store = databases.open_store(self.path)
        self.stack.callback(self.store.close)
        self.reader = self.stack.enter_context(closing(databases.connect(self.path)))
        self.rows: dict[str, Row] = {}
        self.open: dict[str, tuple[str, str, int]] = {}
        """The open attempt at each job: its instance, token and witness."""
        self.inserted = 0
        self.placed: set[str] = set()
        self.started: set[str] = set()
        """The tokens of claims whose jobs have started."""
        self.given_up: set[str] = set()
        """Instances that were ended by others and may still come back."""
        self.members: dict[str, Member] = {}
        for name in ("worker-1", "worker-2", "worker-3"):
            self.join(name)

    def teardown(self) -> None:
        self.stack.close()

    def join(self, name: str) -> None:
        """Start a worker of this name; no other that may live has it."""
        member = Member(self.store.database.home, name=name)
        self.stack.callback(member.die)
        assert self.store.instances.register(member.instance, member.file) == []
        self.members[name] = member

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return what is really there."""
        return list(self.reader.execute(query).fetchall())

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
        worker=WORKERS,
        tasks=st.lists(st.sampled_from(TASKS), min_size=1, unique=True),
        limit=st.integers(1, 2),
        starts=st.booleans(),
    )
    def claim(self, worker: str, tasks: list[str], limit: int, starts: bool) -> object:
        waiting = [item for item in self.rows.items() if item[1].status == "queued" and item[1].task_type in tasks]
        expected = [job_id for job_id, _ in sorted(waiting, key=self.order)[:limit]]
        member = self.members[worker]
        if expected and member.id in self.given_up:
            with pytest.raises(InstanceEnded):
                self.store.claims.claim(member.id, tasks, limit)
            return multiple()
        claimed = self.store.claims.claim(member.id, tasks, limit)
        assert [claim.job_id for claim in claimed] == expected
        for claim in claimed:
            row = self.rows[claim.job_id]
            assert claim.started_at > (row.started_at or 0)
            assert claim.started_at >= self.clock.now
            row.status, row.progress, row.error_message = "processing", 0, None
            row.started_at = claim.started_at
            self.open[claim.job_id] = (member.id, claim.token, claim.started_at)
            if starts:
                member.start(claim)
                self.started.add(claim.token)
        return multiple(*claimed)

    @rule(worker=WORKERS)
    def heartbeat(self, worker: str) -> None:
        """A worker that was given up takes back its place with its next heartbeat."""
        instance = self.members[worker].id
        assert self.store.instances.beat(instance) is (instance not in self.given_up)
        assert self.store.instances.regain(instance)
        self.given_up.discard(instance)

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

    @rule(worker=WORKERS)
    def kill(self, worker: str) -> None:
        """The worker dies, is rescued and started again; what it still does is a late finisher's."""
        dead = self.members[worker]
        dead.die()
        provably = dead.id not in self.given_up
        assert [instance for instance, _ in self.store.instances.provably_dead()] == [dead.id] * provably
        self.rescue(dead, "died")
        assert self.store.instances.end(dead.id)
        self.join(worker)

    @rule(worker=WORKERS, beats_meanwhile=st.booleans())
    def give_up(self, worker: str, beats_meanwhile: bool) -> None:
        """The worker is taken for dead by its heartbeats, unless it has gone on."""
        silent = self.members[worker]
        record = self.store.instances.get(silent.id)
        if record is None:
            assert silent.id in self.given_up
            return
        if beats_meanwhile:
            assert self.store.instances.beat(silent.id)
            assert self.store.rescues.rescue(silent.id, record.heartbeat) == []
            assert not self.store.instances.end(silent.id, record.heartbeat)
            return
        self.rescue(silent, "fell silent", record.heartbeat)
        assert self.store.instances.end(silent.id, record.heartbeat)
        self.given_up.add(silent.id)

    def rescue(self, dead: Member, obituary: str, silent_at: int | None = None) -> None:
        expected = []
        for job_id, row in self.lost_by(dead):
            expected.append(job_id)
            started = self.open.pop(job_id)[1] in self.started
            if started and row.retry_count >= row.max_retries:
                row.status = "error"
                who = f"worker {dead.instance.worker_id} on host {dead.instance.host} {obituary}"
                attempt = f"attempt {row.retry_count + 1} of {row.max_retries + 1}"
                row.error_message = f"{who} while it ran the job, {attempt}"
            else:
                row.status, row.progress, row.retry_count = "queued", 0, row.retry_count + started
        rescued = self.store.rescues.rescue(dead.id, silent_at)
        assert sorted(job.job_id for job in rescued) == sorted(expected)

    @rule(worker=WORKERS)
    def take_over(self, worker: str) -> None:
        """Another of the same name ends the worker, which may still live; its jobs are returned uncounted."""
        old = self.members[worker]
        expected = []
        for job_id, row in self.lost_by(old):
            expected.append(job_id)
            del self.open[job_id]
            row.status, row.progress = "queued", 0
        assert sorted(job.job_id for job in self.store.rescues.take_over(old.id)) == sorted(expected)
        self.join(worker)
        assert not self.store.instances.beat(old.id)
        assert not self.store.instances.regain(old.id)

    def lost_by(self, member: Member) -> list[tuple[str, Row]]:
        """Close all attempts of an instance in the model; return the jobs that it really still had."""
        lost = []
        for job_id, (holder, _, started_at) in list(self.open.items()):
            row = self.rows.get(job_id)
            if holder != member.id:
                continue
            if row is not None and row.status == "processing" and row.started_at == started_at:
                lost.append((job_id, row))
            else:
                del self.open[job_id]
        return lost

    @rule(claim=claims)
    def abandon(self, claim: Claim) -> None:
        """Somebody notices that the claim is lost."""
        if not self.holds(claim):
            self.store.claims.abandon(claim)
            if self.open.get(claim.job_id, ("", "", 0))[1] == claim.token:
                del self.open[claim.job_id]

    @rule(job_id=JOB_IDS, way=st.sampled_from(["cancel", "retry", "retry --force"]))
    def care(self, job_id: str, way: str) -> None:
        """An operator cancels whatever is not final, but takes no job by force from a worker of ours that lives."""
        row = self.rows.get(job_id)
        if row is None:
            return
        if way == "cancel":
            (cared,) = self.store.care.cancel([job_id])
            changes = row.status in ("queued", "processing")
            after: tuple[str, int, int, str | None] = ("error", row.progress, row.retry_count, "cancelled")
        else:
            (cared,) = self.store.care.retry([job_id], force=way == "retry --force")
            is_ours = job_id in self.open and self.open[job_id][2] == row.started_at
            foreign_by_force = row.status == "processing" and way == "retry --force" and not is_ours
            changes = row.status == "error" or foreign_by_force
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
        seen = {job_id: fields for job_id, *fields in self.read(f"SELECT {columns} FROM jobs")}
        assert seen == {job_id: row.seen() for job_id, row in self.rows.items()}

    @invariant()
    def no_job_has_two_holders(self) -> None:
        query = "SELECT job_id, instance, token, started_at FROM clworker_attempts WHERE ended_at IS NULL"
        attempts = self.read(query)
        assert len({job_id for job_id, *_ in attempts}) == len(attempts)
        assert {job_id: tuple(attempt) for job_id, *attempt in attempts} == self.open

    @invariant()
    def each_worker_knows_what_it_holds(self) -> None:
        for member in self.members.values():
            mine = {(job_id, attempt) for job_id, attempt in self.open.items() if attempt[0] == member.id}
            held = {token for job_id, (_, token, started_at) in mine if self.is_processed(job_id, started_at)}
            assert self.store.claims.held(member.id) == held

    def is_processed(self, job_id: str, started_at: int) -> bool:
        row = self.rows.get(job_id)
        return row is not None and (row.status, row.started_at) == ("processing", started_at)

    @invariant()
    def retries_stay_within_their_limit(self) -> None:
        assert all(row.retry_count <= row.max_retries for row in self.rows.values())


def test_jobs_go_the_same_ways_over_postgresql(postgresql: Emptied) -> None:
    machine = type("Machine", (JobStates,), {"generation": "current", "server": postgresql})
    run_state_machine_as_test(machine, settings=settings(max_examples=6, stateful_step_count=30))


@pytest.mark.parametrize("generation", list(databases.GENERATIONS))
def test_jobs_go_only_the_ways_that_the_model_allows(generation: str) -> None:
    machine = type("Machine", (JobStates,), {"generation": generation})
    limits = settings(max_examples=30, stateful_step_count=40)
    run_state_machine_as_test(machine, settings=limits)
