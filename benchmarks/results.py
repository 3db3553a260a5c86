"""What a benchmark has found: samples, what they were taken under, and what they are compared to."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class NotMeasured(Exception):
    """Something could not be measured; the message says why."""


@dataclass(frozen=True)
class Ratio:
    """How many times the value of something else a value is."""

    to: str
    value: float

    def __str__(self) -> str:
        return f"{self.value:.2f} x {self.to}"


@dataclass(frozen=True)
class Result:
    """The samples of one subject in one case; none when it could not be measured, and ``note`` says why."""

    section: str
    subject: str
    case: str
    unit: str
    samples: Sequence[float]
    settings: str = ""
    note: str = ""
    ratios: Sequence[Ratio] = field(default=())

    @property
    def median(self) -> float | None:
        return statistics.median(self.samples) if self.samples else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The lowest and the highest sample."""
        return (min(self.samples), max(self.samples)) if self.samples else None

    def with_ratios(self, *others: tuple[str, "Result | None"]) -> "Result":
        """Return this with the ratios of its median to those of others, as far as there are medians."""
        median = self.median
        if median is None:
            return self
        known = [(name, other.median) for name, other in others if other is not None]
        return replace(self, ratios=[Ratio(name, median / theirs) for name, theirs in known if theirs])

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a JSON file."""
        return {**asdict(self), "median": self.median, "spread": self.spread}
