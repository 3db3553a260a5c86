"""A slot: the child process that runs jobs, one after another.

It holds neither a database nor a broker connection. Jobs come down a channel; progress, log
records and the outcome go back up.
"""

import logging
import math
import os
import resource
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clworker.core.errors import InputMissing, ParamsRefused, PathRefused
from clworker.core.frames import BlockingChannel, Message
from clworker.core.records import extras
from clworker.core.store.identity import mark_started
from clworker.core.tasks import params, runner
from clworker.core.tasks.messages import describe_exception, safe_repr, safe_str
from clworker.core.worker.orders import OrderInbox
from clworker.core.worker.workspace import Workspace

_LONGEST_CHAIN = 10
_MOST_FRAMES = 100
_LONGEST_TEXT = 1 << 20
"""Characters that a log line of a task keeps of each text."""

_log = logging.getLogger("clworker.slot")


@dataclass(frozen=True)
class SlotConfig:
    """What every job in this slot is held to."""

    input_roots: Sequence[Path]
    output_roots: Sequence[Path]
    lock_fd: int
    """The instance's lock file, where each start is marked."""
    log_level: str


def serve(
    channel: BlockingChannel, inbox: OrderInbox, registry: Mapping[str, Any], config: SlotConfig, place: int
) -> None:
    """Run jobs until the supervisor closes the inbox. ``place`` is this slot's alone."""
    owner = os.getpid()
    root = logging.getLogger()
    root.handlers[:] = [_ChannelHandler(channel, owner)]
    root.setLevel(config.log_level)
    logging.captureWarnings(True)
    memory = _PeakMemory()
    while (job := inbox.receive()) is not None:
        memory.forget()
        began = time.monotonic()
        mark_started(config.lock_fd, place, job["token"])
        missing_input = None
        try:
            report = _run(channel, registry, config, job, owner)
        except InputMissing as refusal:
            report, missing_input = runner.Report(error=str(refusal)), refusal.path
        except Exception as failure:  # of a schema or a validator, which are the plugin's as well
            _log.error("the job failed around its task", exc_info=failure)
            report = runner.Report(error=describe_exception(failure))
        channel.send(
            {
                "type": "outcome",
                "output": report.output,
                "error": report.error,
                "peak_kib": memory.peak_kib(),
                "missing_input": missing_input,
                "seconds": time.monotonic() - began,
            }
        )


def _run(
    channel: BlockingChannel, registry: Mapping[str, Any], config: SlotConfig, job: Message, owner: int
) -> runner.Report:
    def on_progress(percent: int) -> None:
        if os.getpid() == owner:  # a process that the task forked must not write into our channel
            channel.send({"type": "progress", "percent": percent})

    task = registry[job["task_type"]]
    try:
        schema = task.get_schema()
        params.validate(schema, job["params"])
        for name in params.unknown_names(schema, job["params"]):
            _log.warning("unknown parameter ignored", extra={"parameter": name})
        if not params.takes_files(schema):
            return runner.run(task, job["job_id"], job["task_type"], job["params"], on_progress)
        workspace = Workspace(job["params"], config.input_roots, config.output_roots, job["token"])
    except InputMissing:
        raise
    except (ParamsRefused, PathRefused) as refusal:
        return runner.Report(error=str(refusal))
    try:
        handed = workspace.open(job["older_tokens"])
        channel.send({"type": "staged", "created": workspace.created})
        report = runner.run(task, job["job_id"], job["task_type"], {**job["params"], **handed}, on_progress)
        report = runner.Report(workspace.restore(report.output), workspace.restore(report.error))
        if report.error is None:
            for name in workspace.keep():
                _log.warning("file that is no output was dropped", extra={"file": name})
    except (PathRefused, OSError) as refusal:
        report = runner.Report(error=workspace.restore(str(refusal)))
    except BaseException:
        workspace.discard()
        raise
    if report.error is not None:
        workspace.discard()
    return report


class _ChannelHandler(logging.Handler):
    """Sends log records up to the supervisor, which knows the job and the form of the lines."""

    def __init__(self, channel: BlockingChannel, owner: int) -> None:
        super().__init__()
        self._channel = channel
        self._owner = owner

    def emit(self, record: logging.LogRecord) -> None:
        if os.getpid() != self._owner:
            return
        with suppress(OSError, ValueError):
            self._channel.send(_message_of(record))


def _message_of(record: logging.LogRecord) -> Message:
    extra = {key: _plain(value) for key, value in extras(record).items()}
    try:
        event = record.getMessage()
    except Exception:  # a log line of the task that does not fit its arguments must not fail the job
        event = f"{safe_str(record.msg)} {safe_repr(record.args)}"
    message = {
        "type": "log",
        "logger": record.name,
        "level": record.levelno,
        "event": event[:_LONGEST_TEXT],
        "extra": extra,
    }
    if record.exc_info and record.exc_info[1] is not None:
        message["exception"] = _structured(record.exc_info[1])
    return message


def _plain(value: Any) -> Any:
    """Return what a log line of JSON can hold."""
    if isinstance(value, (bool, float)) and math.isfinite(value):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    return (value if isinstance(value, str) else safe_repr(value))[:_LONGEST_TEXT]


def _structured(failure: BaseException) -> list[dict[str, Any]]:
    """Return the exception and those that led to it, in the form of structlog's, without variables."""
    chain: list[dict[str, Any]] = []
    link: BaseException | None = failure
    is_cause = False
    while link is not None and len(chain) < _LONGEST_CHAIN:
        frames = traceback.extract_tb(link.__traceback__, -_MOST_FRAMES)
        chain.append(
            {
                "exc_type": type(link).__name__,
                "exc_value": safe_str(link)[:_LONGEST_TEXT],
                "is_cause": is_cause,
                "frames": [
                    {"filename": frame.filename, "lineno": frame.lineno, "name": frame.name} for frame in frames
                ],
            }
        )
        is_cause = link.__cause__ is not None
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


class _PeakMemory:
    """The most memory that this process had in use at once since it was told to forget."""

    def __init__(self) -> None:
        self._reset: int | None = None
        with suppress(OSError):
            self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    def forget(self) -> None:
        # 5 resets VmHWM (proc(5)), and with it what getrusage tells, so that each job's peak is its own.
        if self._reset is not None:
            with suppress(OSError):
                os.pwrite(self._reset, b"5", 0)

    def peak_kib(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
