"""What a record of the standard library's logging carries beside its message."""

import logging
from typing import Any

EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What each record has, or gets from a formatter."""


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was logged with ``extra=``."""
    return {name: value for name, value in vars(record).items() if name not in EVERY_RECORD}
