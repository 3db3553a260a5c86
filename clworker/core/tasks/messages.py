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
    """Fold white space and cut what is too long for one line of a listing."""
    folded = " ".join(text.split())
    return folded if len(folded) <= _LONGEST else folded[: _LONGEST - 1] + "…"


def shortened(value: object, longest: int = 80) -> str:
    """Return a value's repr, cut to ``longest`` characters."""
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
