"""What is answered about many jobs at once: how they stand, and what was done with them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """How the jobs of one task type stand. Durations are milliseconds; None where nothing was measured.

    ``other`` counts jobs in a status that is none of the contract's. The percentiles are of
    the ``sample`` newest finished jobs that have run: ``waiting`` from creation to the start
    of the last run, ``running`` from there to the end.
    """

    task_type: str
    queued: int
    processing: int
    completed: int
    error: int
    other: int
    oldest_queued_ms: int | None
    oldest_queued: str | None
    sample: int
    waiting_p50_ms: int | None
    waiting_p90_ms: int | None
    waiting_p99_ms: int | None
    running_p50_ms: int | None
    running_p90_ms: int | None
    running_p99_ms: int | None


@dataclass(slots=True)
class PurgeReport:
    """What a purge has removed until now, or would remove. ``bytes`` is the size of the files.

    ``orphans`` are those of the ``folders`` that belonged to no job.
    """

    dry_run: bool
    rows: int = 0
    folders: int = 0
    orphans: int = 0
    bytes: int = 0
    faults: list[str] = field(default_factory=list)
    """What could not be removed, and why."""


@dataclass(slots=True)
class ImportReport:
    """What an import has done until now, or would do; it is whole up to the line ``lines``.

    ``requeued`` are those of the ``imported`` jobs that were processing when they were exported.
    """

    dry_run: bool
    lines: int = 0
    imported: int = 0
    skipped: int = 0
    requeued: int = 0
    faults: list[str] = field(default_factory=list)
    """What is wrong with which line; a dry run alone goes on after one."""
