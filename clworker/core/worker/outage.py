"""What the log says of a database that is away: each reason once, and once that it is back."""

from typing import Any

import structlog

_log = structlog.get_logger("clworker.worker")


class Outage:
    """One stretch of failures after another, however long they last and however often one tries."""

    def __init__(self, event: str, **fields: Any) -> None:
        """``event`` is logged with ``fields`` and the reason when the database goes away."""
        self._event = event
        self._fields = fields
        self._reasons: set[str] = set()
        self._failures = 0
        self.latest: str | None = None
        """Why the last try failed; None when it did not."""

    @property
    def lasts(self) -> bool:
        """Whether the last try failed."""
        return bool(self._reasons)

    def failed(self, reason: str) -> None:
        """Note a try that failed; a reason that is new in this stretch is logged."""
        self._failures += 1
        self.latest = reason
        if reason not in self._reasons:
            self._reasons.add(reason)
            _log.warning(self._event, **self._fields, reason=reason)

    def over(self) -> None:
        """Note that a try has succeeded."""
        if self._reasons:
            _log.info("database is back", **self._fields, failures=self._failures)
        self._reasons.clear()
        self.latest = None
        self._failures = 0
