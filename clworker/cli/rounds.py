"""What ``jobs cancel`` and ``jobs retry`` say: a row for each job dealt with, an error for each that was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clworker.cli import exits
from clworker.cli.render import Columns, print_listing

if TYPE_CHECKING:
    from clworker.core.caretaker import Round

_COLUMNS: Columns = {"JOB": "job_id", "TASK": "task_type", "STATUS": "status", "ACTION": "action", "NOTE": "note"}
_REFUSED = "refused"


class Report:
    """Prints one round and keeps the exit code that it calls for."""

    def __init__(self, output_format: str) -> None:
        self._output_format = output_format
        self.exit_code = exits.DONE

    def print(self, done: Round) -> None:
        """Print the rows, then an error line for each job that was refused and each id that names none."""
        rows = [
            {
                "job_id": one.job.job_id,
                "task_type": one.job.task_type,
                "status": one.job.status,
                "action": str(one.action),
                "note": one.note,
            }
            for one in done.cared
            if one.action != _REFUSED
        ]
        if rows or (self._output_format == "json" and done.failure is None):
            print_listing(rows, self._output_format, _COLUMNS)
        refused = [one for one in done.cared if one.action == _REFUSED]
        for one in refused:
            exits.say(f"job {one.job.job_id}: {one.note}")
        for fault in done.unknown:
            exits.say(fault)
        self.exit_code = exits.USAGE if done.unknown else exits.NOT_COMPLETED if refused else exits.DONE
