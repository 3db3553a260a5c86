"""Words for failures: one line each, for the column ``error_message`` and for people."""

_LONGEST = 2000


def describe_exception(failure: BaseException) -> str:
    """Say an exception in one line."""
    if isinstance(failure, SystemExit):
        code = "" if failure.code is None else failure.code
        return f"it called sys.exit({code})"
    if isinstance(failure, MemoryError):
        return "out of memory"
    text = str(failure)
    return one_line(f"{type(failure).__name__}: {text}" if text.strip() else type(failure).__name__)


def one_line(text: str) -> str:
    """Fold line breaks, escape what no database stores, and cut what is too long for a listing.

    Blanks inside a line stay: they may belong to a file's name.
    """
    folded = " ".join(filter(None, map(str.strip, text.splitlines())))
    # Names that are no UTF-8 come as lone surrogates, which SQLite refuses; PostgreSQL refuses NUL.
    folded = folded.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return folded if len(folded) <= _LONGEST else folded[: _LONGEST - 1] + "…"


def shortened(value: object, longest: int = 80) -> str:
    """Return a value's repr, cut to ``longest`` characters."""
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
