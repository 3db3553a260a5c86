"""The command line without a process of its own, where starting one is not the point."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from clworker.cli import cli
from clworker.cli.exits import run_to_exit_code
from tests.support.program import Program, Result
from tests.support.waiting import deadline


@dataclass
class InProcess:
    """Runs commands as the console script would, in the environment of ``program``."""

    program: Program
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, *args: str | Path, **changes: str | None) -> Result:
        """Run a command to its end; None as a value unsets a variable."""
        wanted = self.program.environment(**changes)
        with self.monkeypatch.context() as patch:
            for name in [*os.environ, *wanted]:
                _set(patch, name, wanted.get(name))
            patch.setattr(sys, "argv", ["clworker", *map(str, args)])
            self.capsys.readouterr()
            try:
                with deadline(f"{args}"):
                    code = run_to_exit_code(cli)
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 1
        printed = self.capsys.readouterr()
        return Result(code, printed.out, printed.err)

    def ok(self, *args: str | Path, **changes: str | None) -> Result:
        """Run a command that has to succeed."""
        result = self.run(*args, **changes)
        assert result.code == 0, f"{args} exited with {result.code}:\n{result.stdout}\n{result.stderr}"
        return result

    def refused(self, code: int, *args: str | Path, **changes: str | None) -> Sequence[str]:
        """Run a command that has to fail with plain ``Error:`` lines alone; return what they say."""
        result = self.run(*args, **changes)
        assert (result.code, result.stdout) == (code, ""), result
        assert len(result.errors) == len(result.stderr.splitlines()), result.stderr
        return result.errors


def _set(patch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    if value is None:
        patch.delenv(name, raising=False)
    else:
        patch.setenv(name, value)
