"""What a person may have meant by a name that is not known."""

from collections.abc import Iterable

_MOST = 3
_ABOUT_AS_NEAR = 0.1


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Return the known names that look most like this one, the nearest first; at most three.

    Small and capital letters are the same, and the dashes before an option do not count;
    ``cutoff`` is how alike they must be, 0 to 1.
    """
    from difflib import SequenceMatcher  # only a failure needs it

    matcher = SequenceMatcher(b=_bare(word))  # which keeps what it knows about b
    likeness = {}
    for name in sorted(set(known)):
        matcher.set_seq1(_bare(name))
        likeness[name] = matcher.ratio()
    least = max(cutoff, max(likeness.values(), default=0) - _ABOUT_AS_NEAR)
    near = [name for name in likeness if likeness[name] >= least]
    return sorted(near, key=lambda name: -likeness[name])[:_MOST]


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Ask for the nearest of the known names, ``did you mean 'a' or 'b'?``; None when none is near."""
    found = [repr(name) for name in nearest(word, known, cutoff)]
    if not found:
        return None
    *others, last = found
    names = f"{', '.join(others)} or {last}" if others else last
    return f"did you mean {names}?"


def _bare(name: str) -> str:
    return name.lower().lstrip("-")
