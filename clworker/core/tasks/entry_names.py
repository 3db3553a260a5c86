"""The names under which plugins are registered, found in a few milliseconds: for TAB, which cannot wait.

``importlib.metadata``, which ``loading`` uses, is ten times as slow: it parses the mail
headers of every distribution.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

GROUPS = ("cl_ml_tools.tasks", "cl_media_tools.tasks")
"""Entry-point groups: the published name first, then the design note's."""


def entry_names() -> list[str]:
    """Return the names of all entries that can be read; for a plugin in order, its task type."""
    found: set[str] = set()
    for path in _entry_point_files():
        try:
            with path.open(encoding="utf-8") as file:
                found.update(_names(file))
        except (OSError, UnicodeDecodeError):
            continue
    return sorted(found)


def _entry_point_files() -> Iterator[Path]:
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                names = [entry.name for entry in entries]
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                yield Path(folder, name, "entry_points.txt")


def _names(lines: Iterable[str]) -> Iterator[str]:
    ours = False
    for line in map(str.strip, lines):
        if line.startswith("["):
            ours = line.strip("[]").strip() in GROUPS
        elif ours and "=" in line and not line.startswith(("#", ";")):
            yield line.partition("=")[0].strip()
