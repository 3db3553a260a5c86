"""A few lines at the bottom of a terminal that are drawn again and again."""

import os
import sys
from collections.abc import Sequence

from clworker.core.printable import printable

_UP = "\x1b[{}F"
_CLEAR_BELOW = "\x1b[J"
_CLEAR_ALL = "\x1b[H\x1b[J"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_SIZE_UNKNOWN = (80, 24)


class Screen:
    """Draws on stdout, which is a terminal. Live lines that are too long or too many are cut.

    The terminal wraps none of these: what is wider than it looks (or shown as
    escapes, where the terminal's encoding lacks it) cannot push the rest down.
    """

    def __init__(self) -> None:
        self._drawn = 0
        self._size = self._measure()

    @staticmethod
    def is_possible() -> bool:
        """Tell whether stdout is a terminal that can move its cursor."""
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def has_resized(self) -> bool:
        """Tell whether the terminal has another size than when it was drawn on."""
        return self._measure() != self._size

    def draw(self, finished: Sequence[str], live: Sequence[str]) -> None:
        """Replace what was drawn: ``finished`` lines stay for good, ``live`` ones until the next time."""
        columns, rows = size = self._measure()
        back = _UP.format(self._drawn) if self._drawn else ""
        if size != self._size:
            back = _CLEAR_ALL  # the terminal may have folded the old lines anew
        live = live[: max(1, rows - 1)]
        above = "".join(f"{printable(line)}\n" for line in finished)
        below = "".join(f"{printable(line)[:columns]}\n" for line in live)
        sys.stdout.write(f"{back}{_CLEAR_BELOW}{above}{_NO_WRAP}{below}{_WRAP}")
        sys.stdout.flush()
        self._drawn, self._size = len(live), size

    @property
    def rows(self) -> int:
        """How many lines the terminal shows."""
        return self._measure()[1]

    @staticmethod
    def _measure() -> tuple[int, int]:
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return _SIZE_UNKNOWN
        return (size.columns or _SIZE_UNKNOWN[0], size.lines or _SIZE_UNKNOWN[1])
