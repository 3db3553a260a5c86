"""Submitting a job: everything is checked first, then the inputs are staged, and the row comes last.

So a submission that is killed leaves no job without its input.
"""

import os
import shutil
import signal
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clworker.core.errors import JobNotFound, StagingFailed, UsageFault
from clworker.core.models.jobs import ComputeJob, NewJob
from clworker.core.models.requests import JobRequest
from clworker.core.settings import Settings
from clworker.core.store.store import Store

_WAIT_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class PreparedParams:
    """The task's view of a request: validated values, and how its outputs are named."""

    values: dict[str, Any]
    takes_files: bool
    output_format: str | None


def check_inputs(inputs: Sequence[Path]) -> None:
    """See that every input is a file that can be read. Raises UsageFault for the first that is not."""
    for path in inputs:
        try:
            status = path.stat()
            if stat.S_ISREG(status.st_mode):  # to open a pipe or a device would do something to it
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except FileNotFoundError:
            remark = f"; a parameter is given with -p {path}" if "=" in path.name else ""
            raise UsageFault(f"input file not found: {path}{remark}") from None
        except (OSError, ValueError) as failure:
            reason = getattr(failure, "strerror", None) or str(failure)
            raise UsageFault(f"input file cannot be read: {path}: {reason}") from failure
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise UsageFault(f"input is {kind}, but a file is needed: {path}")


def submit(settings: Settings, store: Store, request: JobRequest, prepared: PreparedParams) -> ComputeJob:
    """Stage the inputs and queue the job. Raises StagingFailed and StoreUnavailable, leaving nothing."""
    job_id = str(uuid.uuid4())
    folder = settings.job_dir(job_id)
    with _removed_on_failure(folder) as undo:
        paths: dict[str, Any] = {}
        if prepared.takes_files:
            names = unique_names([path.name for path in request.inputs])
            staged = [folder / "input" / name for name in names]
            _copy_all(request.inputs, staged)
            outputs = output_names([path.name for path in request.inputs], prepared.output_format)
            target = request.output_dir or folder / "output"
            paths = {
                "input_paths": [str(path) for path in staged],
                "output_paths": [str(target / name) for name in outputs],
            }
        job = NewJob(job_id, request.task_type, {**prepared.values, **paths}, request.priority)
        with _ctrl_c_held_back():
            queued = store.jobs.add(job)
            undo.pop_all()
    return queued


def output_names(input_names: Sequence[str], output_format: str | None) -> list[str]:
    """Name the outputs ``{stem}{ext}``, by the format where the task has one."""
    names = []
    for name in input_names:
        stem, extension = os.path.splitext(name)
        names.append(stem + (f".{output_format}" if output_format else extension))
    return unique_names(names)


def unique_names(names: Sequence[str]) -> list[str]:
    """Give the second and later of equal names ``-2``, ``-3`` … before the extension."""
    taken = set(names)
    given: set[str] = set()
    result = []
    for name in names:
        chosen = name
        stem, extension = os.path.splitext(name)
        number = 2
        while chosen in given or (chosen != name and chosen in taken):
            chosen = f"{stem}-{number}{extension}"
            number += 1
        given.add(chosen)
        result.append(chosen)
    return result


def wait_until_final(store: Store, job_id: str, on_progress: Callable[[int], None]) -> ComputeJob:
    """Wait for some worker to end the job and return it. Raises JobNotFound when it is deleted."""
    while True:
        job = store.jobs.get(job_id)
        if job is None:
            raise JobNotFound(f"job {job_id} was deleted while it was waited for")
        on_progress(job.progress)
        if job.is_final:
            return job
        time.sleep(_WAIT_INTERVAL)


def _copy_all(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reading, target.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[ExitStack]:
    """Remove the folder if the block fails, unless it empties the stack that it is given."""
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            yield undo
        except OSError as failure:
            raise StagingFailed(f"cannot stage the inputs in {folder}: {failure.strerror or failure}") from failure
        undo.pop_all()


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, where it is known whether the job is queued."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
