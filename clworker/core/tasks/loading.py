"""Finds and imports task plugins. Runs only inside a child process: a plugin may exit, hang or crash.

Every entry is announced before it is imported, so that the parent knows the culprit when
this process dies or falls silent.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

from pydantic import BaseModel

from clworker.core.frames import Message
from clworker.core.tasks.entry_names import GROUPS
from clworker.core.tasks.messages import describe_exception, shortened


@dataclass(frozen=True, slots=True)
class Entry:
    """One plugin as its distribution registers it."""

    name: str
    value: str
    group: str
    distribution: str
    version: str

    @property
    def key(self) -> str:
        """Identify the entry across child processes."""
        return f"{self.distribution} {self.name} {self.value}"


def entries() -> list[Entry]:
    """Return every registered entry in the order of preference.

    Of two plugins with one task type the earlier wins: the published group before the old
    one, then by the names of distribution and entry. The same plugin registered in both
    groups counts once.
    """
    found = {
        (entry.group, entry.distribution.lower(), entry.name, entry.value): entry
        for distribution in _unique_distributions()
        for entry in _entries_of(distribution)
    }
    ordered = [found[key] for key in sorted(found, key=lambda key: (GROUPS.index(key[0]), *key[1:]))]
    first_of_each: dict[str, Entry] = {}
    for entry in ordered:
        first_of_each.setdefault(entry.key, entry)
    return list(first_of_each.values())


def load_all(report: Callable[[Message], None], skip: Collection[str]) -> dict[str, Any]:
    """Import every entry whose key is not in ``skip`` and return the tasks by type.

    Reports ``loading``, then ``ready``, ``broken`` or ``shadowed`` for each, and ``done``
    at the end.
    """
    registry: dict[str, Any] = {}
    owners: dict[str, Entry] = {}
    for entry in entries():
        if entry.key in skip:
            continue
        report({"type": "loading", "key": entry.key, **asdict(entry)})
        try:
            task, task_type = _load(entry)
        except BaseException as failure:  # a plugin may raise SystemExit or KeyboardInterrupt too
            report({"type": "broken", "reason": describe_exception(failure)})
            continue
        if task_type in registry:
            owner = owners[task_type]
            reason = f"{owner.distribution} {owner.version} provides this task type too and comes first"
            report({"type": "shadowed", "task_type": task_type, "reason": reason})
            continue
        registry[task_type], owners[task_type] = task, entry
        report({"type": "ready", "task_type": task_type})
    report({"type": "done"})
    return registry


def _load(entry: Entry) -> tuple[Any, str]:
    task = EntryPoint(entry.name, entry.value, entry.group).load()()
    for attribute in ("task_type", "get_schema", "execute"):
        if not hasattr(task, attribute):
            raise TypeError(f"it has no {attribute}")
    for method in ("get_schema", "execute"):
        if not callable(getattr(task, method)):
            raise TypeError(f"its {method} is not a method")
    task_type = task.task_type
    if not isinstance(task_type, str) or not task_type or "," in task_type or not task_type.isprintable():
        raise TypeError(f"its task_type {task_type!r} is not a printable name without commas")
    schema = task.get_schema()
    if not isinstance(schema, type) or not issubclass(schema, BaseModel):
        raise TypeError(f"get_schema() returned {shortened(schema)}, which is no pydantic model")
    return task, task_type


def _unique_distributions() -> Iterator[Distribution]:
    # As importlib.metadata has it: of two installations of one name, the first on the path counts.
    seen = set()
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", _metadata(distribution, "Name")).lower()
        if not name or name not in seen:
            seen.add(name)
            yield distribution


def _entries_of(distribution: Distribution) -> Iterator[Entry]:
    try:
        points = [point for point in distribution.entry_points if point.group in GROUPS]
    except Exception:  # an unreadable entry_points.txt is that package's trouble alone
        return
    name, version = _metadata(distribution, "Name") or "unknown", _metadata(distribution, "Version")
    for point in points:
        yield Entry(point.name, point.value, point.group, name, version)


def _metadata(distribution: Distribution, field: str) -> str:
    try:
        return distribution.metadata[field] or ""
    except Exception:  # damaged metadata of one package must not hide the others
        return ""
