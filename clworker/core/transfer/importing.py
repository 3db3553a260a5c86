"""Jobs on their way in: line by line checked, added in batches, each of them whole or not at all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from clworker.core.errors import ImportRefused
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.models.reports import ImportReport
from clworker.core.presence.messages import JobEvent
from clworker.core.presence.port import Broadcaster
from clworker.core.store.store import Store
from clworker.core.transfer.lines import LONGEST_LINE, job_of_line

_LARGEST_BATCH = 500
_FULL = 4 << 20
"""Bytes of a batch that is written whatever the number of its jobs."""
_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: bytes


class Import:
    """One import into one database."""

    def __init__(self, store: Store, broadcaster: Broadcaster, report: ImportReport, skip_existing: bool) -> None:
        self._transfers = store.transfers
        self._broadcaster = broadcaster
        self._report = report
        self._skip_existing = skip_existing

    def run(self, lines: BinaryIO, on_read: Callable[[int], None]) -> None:
        """Add the jobs of all lines; ``on_read`` gets the bytes of each batch. Raises ImportRefused."""
        for batch in _batches(lines, self._refused):
            self._add(self._jobs_of(batch))
            self._report.lines = batch[-1].number
            on_read(sum(len(line.text) for line in batch))

    def _jobs_of(self, batch: list[_Line]) -> dict[int, ComputeJob]:
        """Return the jobs of a batch by the numbers of their lines, each id once."""
        jobs: dict[int, ComputeJob] = {}
        first: dict[str, int] = {}
        for line in batch:
            if not line.text.strip():
                continue
            try:
                job = job_of_line(line.text)
            except ValueError as fault:
                self._note(line.number, f"{fault}")
                continue
            if (refusal := self._transfers.refusal_of(job)) is not None:
                self._note(line.number, refusal)
            elif job.job_id not in first:
                first[job.job_id] = line.number
                jobs[line.number] = job
            elif self._skip_existing:
                self._report.skipped += 1
            else:
                self._note(line.number, f"its job_id {job.job_id!r} stands in line {first[job.job_id]} already")
        return jobs

    def _add(self, jobs: dict[int, ComputeJob]) -> None:
        waiting = {number: _queued_again(job) for number, job in jobs.items()}
        if self._report.dry_run:
            existing = self._transfers.existing([job.job_id for job in jobs.values()])
        else:
            existing = self._transfers.add(list(waiting.values()), skip_existing=self._skip_existing)
        if not self._skip_existing:
            for number, job in jobs.items():
                if job.job_id in existing:
                    self._note(
                        number,
                        f"there is a job {job.job_id!r} already; leave such jobs as they are with --existing skip",
                    )
        added = {number: job for number, job in waiting.items() if job.job_id not in existing}
        self._report.imported += len(added)
        self._report.skipped += len(existing) if self._skip_existing else 0
        self._report.requeued += sum(jobs[number].status == ComputeJobStatus.PROCESSING for number in added)
        if not self._report.dry_run:
            self._wake_workers(list(added.values()))

    def _wake_workers(self, added: list[ComputeJob]) -> None:
        """Publish one event for all of them: who waits for a job was told of it when it was first queued."""
        queued = [job for job in added if job.status == ComputeJobStatus.QUEUED]
        if queued:
            self._broadcaster.publish_event(JobEvent(queued[-1].job_id, ComputeJobStatus.QUEUED, 0))

    def _note(self, number: int, fault: str) -> None:
        """Stop at a line that is wrong; a dry run goes on to find others."""
        refusal = self._refused(number, fault)
        if not self._report.dry_run or len(self._report.faults) + 1 >= _MOST_FAULTS:
            raise refusal
        self._report.faults.append(str(refusal))

    def _refused(self, number: int, fault: str) -> ImportRefused:
        return ImportRefused(f"line {number}: {fault}{self._how_to_go_on()}")

    def _how_to_go_on(self) -> str:
        done = self._report.lines
        if self._report.dry_run:
            return ""
        if done == 0:
            return "; nothing is imported"
        again = "import the same again" if self._skip_existing else "import the same again with --existing skip"
        return f"; lines 1 to {done} are imported and none after them: mend it, then {again}"


def _queued_again(job: ComputeJob) -> ComputeJob:
    """Return a job that was processing as one that waits: uncounted, as after any stop of its worker.

    Nobody in this database holds a claim on it. ``started_at`` stays, and the next claim sets a later one.
    """
    if job.status != ComputeJobStatus.PROCESSING:
        return job
    return replace(
        job, status=str(ComputeJobStatus.QUEUED), progress=0, output=None, error_message=None, completed_at=None
    )


def _batches(lines: BinaryIO, refused: Callable[[int, str], ImportRefused]) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    size = number = 0
    while text := _next_line(lines, number + 1, refused):
        number += 1
        if len(text) > LONGEST_LINE:
            raise refused(number, f"it is longer than {LONGEST_LINE >> 20} MiB, which no job is")
        batch.append(_Line(number, text))
        size += len(text)
        if len(batch) >= _LARGEST_BATCH or size >= _FULL:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _next_line(lines: BinaryIO, number: int, refused: Callable[[int, str], ImportRefused]) -> bytes:
    try:
        return lines.readline(LONGEST_LINE + 1)
    except OSError as failure:
        raise refused(number, f"it cannot be read: {failure.strerror or failure}") from failure
