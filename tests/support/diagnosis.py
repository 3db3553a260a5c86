"""What ``clworker doctor`` says, by check."""

from pathlib import Path
from typing import Any, Protocol

from tests.support.program import Result

FIELDS = ["name", "state", "found", "advice"]


class Runs(Protocol):
    """The program as a process, or its command line in this one."""

    def run(self, *args: str | Path, **changes: str | None) -> Result:
        """Run a command to its end."""


def diagnosis(by: Runs, code: int, *args: str | Path, **changes: str | None) -> dict[str, dict[str, Any]]:
    """Run ``doctor``, which has to exit so, and return its checks by name; of several of one name the last."""
    result = by.run("doctor", "-f", "json", *args, **changes)
    assert result.code == code, result
    checks = {check["name"]: check for check in result.json}
    for check in checks.values():
        assert list(check) == FIELDS
        assert bool(check["advice"]) == (check["state"] in ("warning", "failed")), check
    assert any(check["state"] == "failed" for check in checks.values()) == bool(code)
    return checks


def states(checks: dict[str, dict[str, Any]], *names: str) -> list[str]:
    """Return the states of these checks; of all without names."""
    return [checks[name]["state"] for name in names or checks]
