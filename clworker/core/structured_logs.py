"""structlog lines on stderr, for our own events and for those of every library.

stdlib loggers and warnings come out in the same form. Exceptions are structured fields
without local variables, which could hold secrets, and passwords inside URLs are masked in
every text.
"""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from clworker.core.printable import printable
from clworker.core.records import extras
from clworker.core.secrets import masked
from clworker.core.settings import LogSettings

Event = MutableMapping[str, Any]


def configure(settings: LogSettings, *, for_good: bool = False, **context: str) -> None:
    """Set up structlog and the root logger of this process; ``context`` goes into every line.

    ``for_good`` makes a line a fifth cheaper, but no later call changes anything for a logger
    that was used by then.
    """
    first: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _always(context),
        structlog.processors.add_log_level,
        _add_extras,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _rendering(settings)
    # Our own lines do not go through a stdlib record, which would cost more than all the rest of them.
    structlog.configure(
        processors=[*first, *last],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        cache_logger_on_first_use=for_good,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)


class _Lines:
    """Writes lines to stderr. Where that is full or gone they are lost: no log may stop a worker."""

    def __init__(self, *_names: str) -> None:
        self._stream = sys.stderr

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = msg


def _rendering(settings: LogSettings) -> list[Any]:
    if settings.log_format == "console":
        return [
            structlog.processors.format_exc_info,
            _exception_as_text,
            _mask,
            _without_control_characters,
            structlog.dev.ConsoleRenderer(
                colors=settings.colour and sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    render = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

    def render_exception(logger: Any, method: str, event: Event) -> Event:
        return render(logger, method, event) if "exc_info" in event else event

    return [render_exception, _mask, structlog.processors.JSONRenderer()]


def _always(context: dict[str, str]) -> Any:
    """Return a processor that adds the same fields in every thread; context variables are each thread's own."""

    def add(_logger: Any, _method: str, event: Event) -> Event:
        return {**context, **event}

    return add


def _add_extras(_logger: Any, _method: str, event: Event) -> Event:
    """Add what a stdlib record carries; the fields that every line has keep their meaning."""
    record = event.get("_record")
    for key, value in ({} if record is None else extras(record)).items():
        event.setdefault(key, value)
    return event


def _exception_as_text(_logger: Any, _method: str, event: Event) -> Event:
    """Write out the exception of a task, which comes structured from its process."""
    if isinstance(event.get("exception"), list):
        event["exception"] = "\n".join(
            line
            for failure in event["exception"]
            for line in (
                f"{failure['exc_type']}: {failure['exc_value']}",
                *(f"  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in failure["frames"]),
            )
        )
    return event


def _without_control_characters(_logger: Any, _method: str, event: Event) -> Event:
    """Keep what tasks and other programs say from driving the terminal."""
    return {
        printable(key): printable(value, keep="\n" if key == "exception" else "") if isinstance(value, str) else value
        for key, value in event.items()
    }


def _mask(_logger: Any, _method: str, event: Event) -> Event:
    return {key: _masked_value(value) for key, value in event.items()}


def _masked_value(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: _masked_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked_value(inner) for inner in value] if not hasattr(value, "_fields") else value
    return value
