"""The README's terminal sessions: commands with their real output, run one after another in one shell.

``make readme`` writes the output anew; the tests run the same commands and compare. A
session is a ``console`` block below a line ``<!-- session -->``.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

from PIL import Image

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
HOME, HOST = "/home/you", "vm"
"""What stands in the README for the folder and the host where the sessions were run."""
_BLOCK = re.compile(r"(?<=<!-- session -->\n```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_END = "-- end of output --"
_TIMEOUT = 120.0
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_BEGINNING = re.compile(r"\b[0-9a-f]{8}\b")
_VARYING = (
    (_UUID, "ID"),
    (_BEGINNING, "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"\d+(\.\d+)?( s|ms|s|m|h)\b|\d+\.\d+|\b\d{3,}\b"), "N"),
    (re.compile(r"-{3,}"), "---"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass
class Session:
    """Commands and what each is said to print."""

    commands: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, block: str) -> "Session":
        """Read ``$ command`` lines, each followed by its output."""
        session = cls()
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                session.commands.append(line[2:].rstrip("\n"))
                session.outputs.append("")
            else:
                session.outputs[-1] += line
        return session

    def __str__(self) -> str:
        pairs = zip(self.commands, self.outputs, strict=True)
        return "".join(f"$ {command}\n{output}" for command, output in pairs)


def sessions(text: str) -> list[Session]:
    """Return the sessions of a page."""
    return [Session.parse(block) for block in _BLOCK.findall(text)]


def same_but_for_what_varies(output: str) -> str:
    """Blank ids, times, numbers and the widths of columns."""
    for pattern, name in _VARYING:
        output = pattern.sub(name, output)
    return output.strip()


class Shell:
    """A bash in a folder with a photo; use it as a context manager, which ends what still runs."""

    def __init__(self, folder: Path, path: str) -> None:
        Image.effect_noise((1600, 1200), 60).save(folder / "photo.jpg")
        self._folder = folder
        self._process = subprocess.Popen(
            ["bash", "--norc", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "NO_COLOR": "1"},
            start_new_session=True,
        )
        self._timer = Timer(_TIMEOUT, self._end)
        self._timer.start()

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_failure: object) -> None:
        self._timer.cancel()
        self._end()
        self._process.communicate()

    def run(self, command: str) -> str:
        """Run one command and return what a terminal would show, the folder as ``HOME``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{command}\necho '{_END}'\n")
        self._process.stdin.flush()
        shown = ""
        for line in self._process.stdout:
            shown += line
            if shown.endswith(f"{_END}\n"):
                return self._as_shown(shown.removesuffix(f"{_END}\n"))
        raise TimeoutError(f"the shell ended, or did not in {_TIMEOUT:g} s: {command}\n{shown}")

    def _as_shown(self, text: str) -> str:
        host = re.compile(rf"\b{re.escape(socket.gethostname())}\b")
        return host.sub(HOST, text.replace(str(self._folder), HOME))

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def replay(said: list[Session], shell: Shell) -> Iterator[Session]:
    """Run all sessions in their order; ids that they mention become those of the jobs that now are."""
    ids: dict[str, str] = {}
    for session in said:
        ran = Session(session.commands)
        for command, before in zip(session.commands, session.outputs, strict=True):
            now = shell.run(_BEGINNING.sub(lambda match: ids.get(match[0], match[0]), command))
            ids.update(zip(map(_first, _UUID.findall(before)), map(_first, _UUID.findall(now)), strict=False))
            ran.outputs.append(now)
        ran.commands = [_BEGINNING.sub(lambda match: ids.get(match[0], match[0]), one) for one in ran.commands]
        yield ran


def _first(job_id: str) -> str:
    return job_id[:8]


def main() -> None:
    """Write the sessions of the README anew."""
    text = README.read_text()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder, Shell(Path(folder).resolve(), path) as shell:
        ran = replay(sessions(text), shell)
        README.write_text(_BLOCK.sub(lambda _: str(next(ran)), text))


if __name__ == "__main__":
    main()
