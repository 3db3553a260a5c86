"""Times, counts and deaths for people."""

from collections.abc import Sequence

from clworker.core.explain.facts import Line
from clworker.core.models.attempts import Attempt, Death
from clworker.core.times import as_age, as_time

_FEW = 10


def ahead(line: Line | None) -> str:
    """Say how many jobs are claimed first."""
    jobs = line.ahead if line else 0
    return f"{count(jobs, 'job') if jobs else 'no job'} {'are' if jobs > 1 else 'is'} ahead of it"


def estimate(line: Line | None) -> str:
    """Say when a slot is free for the job, if jobs go on ending as they lately did."""
    if line is None or line.ended == 0:
        return "; no job like these has ended lately, so there is no telling how long it takes"
    return f"; at the present rate it starts in about {as_age((line.ahead + 1) * line.within_ms // line.ended)}"


def death(attempt: Attempt) -> str:
    """Say how the slot ended; nothing when it went on."""
    if attempt.signal is None and attempt.exit_code is None:
        return ""
    return str(Death(attempt.signal, attempt.exit_code, attempt.peak_memory_kib))


def at(now: int, milliseconds: int | None) -> str:
    """Say a time and its age, from Unix milliseconds."""
    return f"at {_dated(now, milliseconds)}"


def since(now: int, milliseconds: int | None) -> str:
    """Say from when on something lasts, and how long that is."""
    return f"since {_dated(now, milliseconds)}"


def count(number: int, thing: str) -> str:
    """Say a number of things."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def few(names: Sequence[str]) -> str:
    """List names, but not hundreds of them."""
    return ", ".join(names[:_FEW]) + (", …" if len(names) > _FEW else "")


def capital(text: str) -> str:
    """Begin a sentence with this."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """End a sentence with this, which may be a question."""
    return text if text.endswith(("?", ".", "!")) else f"{text}."


def _dated(now: int, milliseconds: int | None) -> str:
    if not isinstance(milliseconds, int):
        return "an unknown time"
    return f"{as_time(milliseconds)} ({as_age(now - milliseconds)} ago)"
