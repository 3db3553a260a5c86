"""Real shells at a real terminal, and what they make of TAB."""

import os
import pty
import shlex
import shutil
import subprocess
import threading
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from tests.support.waiting import TIMEOUT, wait_until

COMPLETIONS = Path(__file__).parents[2] / "completions"
_KILL_LINE, _INSERT_ALL, _SAVE_LINE = b"\x15", b"\x14", b"\x07"


def need(program: str) -> str:
    """Return where a program is; without it skip the test, or fail it under CI."""
    found = shutil.which(program)
    if found is None and os.environ.get("CI") != "true":
        pytest.skip(f"{program} is not installed")
    assert found is not None, f"{program} is not installed"
    return found


class Shell(ABC):
    """A shell that has the completion of clworker. Use it as a context manager."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        """``folder`` holds what the shell keeps for itself; it runs in ``here``, a folder in there."""
        self.environ = {**environ, "TERM": "dumb", "HOME": str(folder)}
        self.folder = folder
        self.here = folder / "here"
        self.here.mkdir(parents=True)

    @property
    def shown(self) -> str:
        """What its terminal has shown so far, if it has one."""
        return ""

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_failure: object) -> None:
        return None

    def offers(self, line: str) -> set[str]:
        """Return what TAB offers for the last word of a line, or for the value in ``--option=value``."""
        typed = line.rpartition(" ")[2]
        option, equals, _ = typed.rpartition("=")
        offered = {word.removeprefix(option + equals).removesuffix("/") for word in self.words(line)}
        return offered - {typed.removeprefix(option + equals)}

    @abstractmethod
    def words(self, line: str) -> set[str]:
        """Return what could stand in the place of the last word of a line, as the shell has it."""


class _Interactive(Shell):
    """A shell on a pty, with a key that inserts all that TAB offers and one that saves the line."""

    command: tuple[str, ...]
    setup: str

    def __enter__(self) -> Shell:
        self._ours, theirs = pty.openpty()
        self._saved = self.folder / ".line"
        self._shown = bytearray()
        self._process = subprocess.Popen(
            [need(self.command[0]), *self.command[1:]],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**self.environ, "SAVED": str(self._saved)},
            cwd=self.here,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        setup = self.folder / ".setup"
        setup.write_text(self.setup.format(completions=COMPLETIONS))
        os.write(self._ours, f". {shlex.quote(str(setup))}; echo READ''Y\n".encode())
        wait_until(lambda: b"READY" in self._shown, "the shell is ready")
        return self

    def __exit__(self, *_failure: object) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        os.close(self._ours)

    def words(self, line: str) -> set[str]:
        return set(self.line_after(line).removeprefix(line.rpartition(" ")[0]).split())

    @property
    def shown(self) -> str:
        return self._shown.decode(errors="replace")

    def line_after(self, line: str) -> str:
        """Type a line, have all that TAB offers inserted, and return the line as it then stands."""
        self._saved.unlink(missing_ok=True)
        os.write(self._ours, _KILL_LINE + line.encode() + _INSERT_ALL + _SAVE_LINE)
        wait_until(self._saved.exists, f"the line is there; the terminal shows {self.shown[-500:]!r}")
        return self._saved.read_text()

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 65_536):
                self._shown += data
        except OSError:
            pass  # EIO: the shell has gone


class Bash(_Interactive):
    command = ("bash", "--norc", "--noprofile", "-i")
    setup = r"""
bind 'set enable-bracketed-paste off'
bind '"\C-t": insert-completions'
bind -x '"\C-g": printf %s "$READLINE_LINE" >"$SAVED.new"; mv "$SAVED.new" "$SAVED"'
. {completions}/clworker.bash
"""


class Zsh(_Interactive):
    command = ("zsh", "--no-rcs", "-i")
    setup = r"""
unsetopt zle_bracketed_paste prompt_sp
fpath=({completions} $fpath)
autoload -Uz compinit && compinit -u -D
bindkey -e
save() {{ print -rn -- "$BUFFER" >"$SAVED.new"; mv "$SAVED.new" "$SAVED" }}
zle -N save; bindkey '^G' save
zle -C all-matches complete-word _generic; bindkey '^T' all-matches
zstyle ':completion:all-matches::::' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
"""


class Fish(Shell):
    def words(self, line: str) -> set[str]:
        done = subprocess.run(
            [
                need("fish"),
                "--no-config",
                "-c",
                f"source {COMPLETIONS}/clworker.fish; complete --do-complete $argv[1]",
                line,
            ],
            env=self.environ,
            cwd=self.here,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.stderr == ""
        return {offer.partition("\t")[0] for offer in done.stdout.splitlines()}


SHELLS: dict[str, type[Shell]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}
