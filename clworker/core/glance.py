"""What TAB may offer: names found fast, without a plugin, SQLAlchemy or a broker, and without a word on any failure.

Nothing is created, changed or waited for. What is not found in time is not offered.
"""

import json
import re
from collections.abc import Sequence

from clworker.core.printable import printable
from clworker.core.store import glance as rows
from clworker.core.tasks.entry_names import entry_names

_SAFE = re.compile(r"[A-Za-z0-9_@%+,./][A-Za-z0-9_@%+=,./-]*")
"""Shells insert a word as it is: one of another program must bring no space, ``;`` or ``$(``, and be no option."""

_FILES_FOLLOW = ("input_paths", "output_paths")


def task_types() -> list[str]:
    """Return the names under which installed plugins register their tasks."""
    return [name for name in entry_names() if _SAFE.fullmatch(name)]


def job_ids(prefix: str, statuses: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return some ids that begin so, each with what tells it from the others; the newest where all fit."""
    return [
        (job_id, printable(f"{task_type}, {status}"))
        for job_id, task_type, status in rows.jobs(prefix, statuses)
        if _SAFE.fullmatch(job_id)
    ]


def worker_ids() -> list[str]:
    """Return the workers that the database remembers."""
    return [name for (name,) in rows.workers() if _SAFE.fullmatch(name)]


def parameters(task_type: str) -> list[str]:
    """Return ``name=`` for the parameters that the last jobs of this task had."""
    found: dict[str, None] = {}
    for (text,) in rows.params(task_type):
        try:
            params = json.loads(text)
        except (ValueError, RecursionError, TypeError):
            continue
        if isinstance(params, dict):
            found.update(dict.fromkeys(params))
    return sorted(f"{name}=" for name in found if name not in _FILES_FOLLOW and _SAFE.fullmatch(name))
