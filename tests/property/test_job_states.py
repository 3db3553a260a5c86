"""The states of a job, against a plain model, while everybody who may interferes at random.

Checks after every step that no two workers hold one job (invariant 1), that an outcome is
recorded once and by the holder of the claim (2), and that retries are counted as promised (4).
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple, rule, run_state_machine_as_test

from clworker.core.errors import ClaimLost, InstanceEnded
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus, NewJob
from tests.property.job_interference import JOB_IDS, Interference
from tests.property.job_model import Row
from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.instances import Member

TASKS = ("a", "b")
WORKERS = st.sampled_from(["worker-1", "worker-2", "worker-3"])


class JobStates(Interference):
    """Workers of ours that die, fall silent and come back."""

    claims = Bundle("claims")

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

    @rule(claim=claims)
    def abandon(self, claim: Claim) -> None:
        """Somebody notices that the claim is lost."""
        if not self.holds(claim):
            self.store.claims.abandon(claim)
            if self.open.get(claim.job_id, ("", "", 0))[1] == claim.token:
                del self.open[claim.job_id]


def test_jobs_go_the_same_ways_over_postgresql(postgresql: Emptied) -> None:
    machine = type("Machine", (JobStates,), {"generation": "current", "server": postgresql})
    run_state_machine_as_test(machine, settings=settings(max_examples=6, stateful_step_count=30))


@pytest.mark.parametrize("generation", list(databases.GENERATIONS))
def test_jobs_go_only_the_ways_that_the_model_allows(generation: str) -> None:
    machine = type("Machine", (JobStates,), {"generation": generation})
    limits = settings(max_examples=20, stateful_step_count=40)
    run_state_machine_as_test(machine, settings=limits)
