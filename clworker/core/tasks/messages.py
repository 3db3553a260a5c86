"""Words for failures: one line each, for the column ``error_message`` and for people."""

import re

_LONGEST = 2000
_MUCH = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def describe_exception(failure: BaseException) -> str:
    """Say an exception in one line."""
    if isinstance(failure, SystemExit):
        code = "" if failure.code is None else safe_str(failure.code)
        return f"it called sys.exit({code})"
    if isinstance(failure, MemoryError):
        return "out of memory"
    text = safe_str(failure)
    return one_line(f"{type(failure).__name__}: {text}" if text.strip() else type(failure).__name__)


def one_line(text: str) -> str:
    """Fold line breaks, escape control characters, and cut what is too long for a listing.

    Blanks inside a line stay: they may belong to a file's name.
    """
    # Names that are no UTF-8 come as lone surrogates, which SQLite refuses; PostgreSQL refuses NUL,
    # and the other control characters would steer the terminal of whoever prints the column.
    folded = " ".join(filter(None, map(str.strip, text[:_MUCH].splitlines())))
    folded = folded.encode(errors="backslashreplace").decode()
    folded = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), folded)
    return folded if len(folded) <= _LONGEST else folded[: _LONGEST - 1] + "…"


def shortened(value: object, longest: int = 80) -> str:
    """Return a value's repr, cut to ``longest`` characters."""
    text = safe_repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def safe_str(value: object) -> str:
    """Return ``str(value)``, or a word about its failure: a plugin's class may have a method that raises."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


def safe_repr(value: object) -> str:
    """Return ``repr(value)``, or a word about its failure."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"
