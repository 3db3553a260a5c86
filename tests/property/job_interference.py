"""What may happen to a job besides our workers: operators, other programs, and a clock that jumps."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.property.job_model import JobModel
from tests.support import foreign

JOB_IDS = st.sampled_from(["job-1", "job-2"])


class Interference(JobModel):
    """Whoever changes jobs without a claim of ours."""

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
