"""The program at a real terminal: a pty that an operator would sit at."""

import os
import pty
import subprocess
import threading
from pathlib import Path

from tests.support.program import PROGRAM, Program
from tests.support.waiting import TIMEOUT, wait_until


class Terminal:
    """Runs a command with stderr on a terminal, and stdout too unless it is piped.

    Use it as a context manager, which kills what is left.
    """

    def __init__(self, program: Program, *args: str | Path, piped: bool = False, **changes: str | None) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [PROGRAM, *map(str, args)],
            stdin=theirs,
            stdout=subprocess.PIPE if piped else theirs,
            stderr=theirs,
            env=program.environment(**{"TERM": "xterm", "COLUMNS": "200", **changes}),
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_failure: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        os.close(self.ours)

    @property
    def text(self) -> str:
        """What the terminal has received so far."""
        return self._shown.decode()

    def wait_for(self, text: str) -> None:
        """Wait until the terminal shows a text."""
        wait_until(lambda: text in self.text, f"the terminal shows {text!r}")

    def end(self) -> tuple[int, str]:
        """Wait for the command's end; return its exit code and what went to a piped stdout."""
        stdout, _ = self.process.communicate(timeout=TIMEOUT)
        self._reader.join(TIMEOUT)
        return self.process.returncode, (stdout or b"").decode()

    def _read(self) -> None:
        try:
            while data := os.read(self.ours, 65_536):
                self._shown += data
        except OSError:
            pass  # EIO: the last process at the terminal has gone
