"""One check: what was looked at, how it stands, what was found and what to do."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check came out; only FAILED makes the whole fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; ``advice`` says what to do, if anything."""

    name: str
    state: State
    found: str
    advice: str | None = None


Checks = Generator[Check, None, str | None]
"""The checks of one field, as they are made. When one makes the rest pointless, it returns why."""


def ok(name: str, found: str) -> Check:
    """Nothing needs to be done."""
    return Check(name, State.OK, found)


def warning(name: str, found: str, advice: str) -> Check:
    """Work goes on, but somebody should look into it."""
    return Check(name, State.WARNING, found, advice)


def failed(name: str, found: str, advice: str) -> Check:
    """Work cannot go on like this."""
    return Check(name, State.FAILED, found, advice)


def skipped(name: str, why: str) -> Check:
    """Nothing was looked at."""
    return Check(name, State.SKIPPED, why)
