"""Purging: the rows of old finished jobs, then their folders, then folders that belong to no job."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from clworker.core.clock import now_ms
from clworker.core.job_folders import JobFolders, opened
from clworker.core.models.reports import PurgeReport
from clworker.core.models.requests import PurgeFilter
from clworker.core.settings import Settings
from clworker.core.store.purges import Row
from clworker.core.store.store import Store

_LARGEST_BATCH = 200
_LONGEST_HOLD = 0.05
"""Seconds that a transaction which holds up others may take before the next one does less."""

YOUNGEST_ORPHAN_MS = 3_600_000
"""A folder without a row that has changed within this time may be a submission that is under way."""


def purge(settings: Settings, store: Store, wanted: PurgeFilter, report: PurgeReport) -> None:
    """Delete what is wanted and count it in ``report``; with ``dry_run`` there, count alone.

    Raises PathRefused and StoreUnavailable; to purge again finishes what was begun.
    """
    with opened(settings.storage_dir / "jobs") as folders:
        task = _Purge(store, folders, wanted, report)
        task.finish_earlier()
        task.finished_jobs()
        if wanted.task_type is None:
            task.orphans()


class _Purge:
    def __init__(self, store: Store, folders: JobFolders, wanted: PurgeFilter, report: PurgeReport) -> None:
        self._purges = store.purges
        self._folders = folders
        self._wanted = wanted
        self._report = report

    def finish_earlier(self) -> None:
        """Remove the folders of jobs whose purge was cut short after their rows."""
        after = ""
        while job_ids := self._purges.unfinished(after, _LARGEST_BATCH):
            after = job_ids[-1]
            self._remove_of_purged(job_ids)

    def finished_jobs(self) -> None:
        """Delete the jobs that are wanted gone, a batch at a time."""
        size, after = _LARGEST_BATCH, None
        while rows := self._purges.find(self._wanted, after, size):
            after = rows[-1]
            if self._report.dry_run:
                self._report.rows += len(rows)
                self._remove_all([row.job_id for row in rows])
                continue
            held = self._delete(rows)
            if self._purges.holds_up_others:
                size = max(1, size // 2) if held > _LONGEST_HOLD else min(_LARGEST_BATCH, size * 2)

    def orphans(self) -> None:
        """Remove the folders that no row leads to and that have not changed for long."""
        before_ms = min(self._wanted.before_ms, now_ms() - YOUNGEST_ORPHAN_MS)
        for names in _batches(self._folders.names()):
            known = self._purges.existing(names)
            before = self._report.folders
            self._remove_all([name for name in names if name not in known], before_ms / 1000)
            self._report.orphans += self._report.folders - before

    def _delete(self, rows: Sequence[Row]) -> float:
        """Delete a batch and give others a turn; return how many seconds the transaction took."""
        began = time.monotonic()
        job_ids = self._purges.delete(rows, self._wanted)
        held = time.monotonic() - began
        self._report.rows += len(job_ids)
        self._remove_of_purged(job_ids)
        if self._purges.holds_up_others:
            time.sleep(min(held, _LONGEST_HOLD))  # a lock that is asked for again at once is never anybody else's
        return held

    def _remove_of_purged(self, job_ids: Sequence[str]) -> None:
        known = self._purges.existing(job_ids)  # an id may have been given again
        left = self._remove_all([job_id for job_id in job_ids if job_id not in known])
        if not self._report.dry_run:
            self._purges.forget([job_id for job_id in job_ids if job_id not in left])

    def _remove_all(self, job_ids: Sequence[str], unchanged_since: float | None = None) -> set[str]:
        """Remove the folders that there are, and count them; return those that could not be removed."""
        left = set()
        for job_id in job_ids:
            extent = self._folders.extent(job_id)
            if extent is None or (unchanged_since is not None and extent.changed_at >= unchanged_since):
                continue
            fault = None if self._report.dry_run else self._folders.remove(job_id)
            if fault is not None:
                self._report.faults.append(fault)
                left.add(job_id)
                continue
            self._report.folders += 1
            self._report.bytes += extent.bytes
        return left


def _batches(names: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(names, _LARGEST_BATCH)):
        yield batch
