"""Another program that has the database open: it does what it is told, one statement at a time."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MAIN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
for statement in sys.stdin:
    try:
        print(connection.execute(statement).fetchall(), flush=True)
    except sqlite3.Error as failure:
        print(failure, flush=True)
connection.close()
"""


class Neighbour:
    """The process; it keeps its one connection until it is ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def execute(self, statement: str) -> str:
        """Have it run a statement; return the rows or the error as text."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{statement}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        """End it as ``kill -9`` does, without closing the database."""
        self._process.kill()
        self._process.wait(10)


@contextmanager
def neighbour(path: Path) -> Iterator[Neighbour]:
    """Have another program use the database for the time of the block; it closes it properly."""
    command = [sys.executable, "-I", "-S", "-c", _MAIN, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Neighbour(process)
