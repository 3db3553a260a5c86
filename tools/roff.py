"""Text as roff wants it: what would be a request, an escape or another character is written as itself."""

import re

_ESCAPES = str.maketrans({"\\": r"\e", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", "…": r"\&..."})
_HYPHENATED = re.compile(r"[(]?[A-Za-z]+(-[a-z]+)+[).,:;]*")


def literal(text: str) -> str:
    """Escape what is typed or shown as it is: every hyphen is a minus."""
    return _without_requests(text.translate(_ESCAPES).replace("-", r"\-"))


def prose(text: str, names: frozenset[str]) -> str:
    """Escape running text: hyphens are minuses in options, in quotes and in ``names``, and hyphens elsewhere."""
    words = (_word(word, names) for word in re.findall(r"'[^']*'\S*|\S+", text))
    return _without_requests(" ".join(words))


def bold(text: str) -> str:
    """Return literal text in bold."""
    return rf"\fB{literal(text)}\fR"


def italic(text: str) -> str:
    """Return literal text in italics, for what stands for something else."""
    return rf"\fI{literal(text)}\fR"


def _word(word: str, names: frozenset[str]) -> str:
    if _HYPHENATED.fullmatch(word) and word.strip("().,:;") not in names:
        return word
    return word.translate(_ESCAPES).replace("-", r"\-")


def _without_requests(text: str) -> str:
    # A line that begins with a dot is an order to roff; one with an apostrophe was escaped already.
    return rf"\&{text}" if text.startswith(".") else text
