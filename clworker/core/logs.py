"""Logging, made ready without paying for it: structlog is imported at the first line.

Most commands never log. A worker, which does, calls ``structured_logs.configure`` at once.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from clworker.core.settings import LogSettings


def prepare(settings: LogSettings) -> None:
    """Have every log line and warning of this process written to stderr, as ``settings`` say."""
    root = logging.getLogger()
    root.handlers[:] = [_FirstLine(settings)]
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)


@contextmanager
def restored() -> Iterator[None]:
    """Give the root logger back as it was: a program that embeds us has its own mind about logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


class _FirstLine(logging.Handler):
    """Waits for the first record, then gives its place to the real handler."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self._settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        # Imported here because structlog costs 70 to 140 ms, more than all the rest of `clworker --help`.
        from clworker.core import structured_logs

        structured_logs.configure(self._settings)
        logging.getLogger(record.name).handle(record)
