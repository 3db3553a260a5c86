"""Processes that are measured: started together, ended together, and what they use of the machine."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.results import NotMeasured

Command = Sequence[str | Path]

_STOP_TIMEOUT = 10.0
_RUN_TIMEOUT = 300.0
_KEPT_LENGTH = 300
_TICKS = os.sysconf("SC_CLK_TCK")


class Group:
    """Some processes of one kind, with one log file."""

    def __init__(self, processes: Sequence["subprocess.Popen[bytes]"], log: Path) -> None:
        self._processes = processes
        self.log = log

    @property
    def pids(self) -> list[int]:
        """The pids of the processes that were started, without their children."""
        return [process.pid for process in self._processes]

    def check(self) -> None:
        """See that all of them run. Raises NotMeasured."""
        for process in self._processes:
            if process.poll() is not None:
                raise NotMeasured(f"a process ended with code {process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of the log, in one line."""
        return _end_of(self.log.read_text(errors="replace"))

    def cpu_seconds(self) -> float:
        """Return the processor time that they and their descendants have used."""
        return sum(_cpu_ticks(pid) for pid in self._tree()) / _TICKS

    def memory(self) -> float:
        """Return the memory that they and their descendants use, in MiB; what is shared counts once (PSS)."""
        return sum(_pss_kib(pid) for pid in self._tree()) / 1024

    def stop(self) -> None:
        """End all of them: politely first, then whatever is left of their sessions."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _tree(self) -> list[int]:
        return [pid for root in self.pids for pid in (root, *_descendants_of(root))]


@contextmanager
def running(
    commands: Sequence[Command],
    environ: Mapping[str, str],
    log: Path,
    *,
    cwd: Path | None = None,
    user: int | None = None,
) -> Iterator[Group]:
    """Run the commands for the time of the block, each in a session of its own."""
    group = Group([], log)
    with log.open("ab") as output:
        try:
            for command in commands:
                process = subprocess.Popen(
                    list(map(str, command)),
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    user=user,
                    start_new_session=True,
                )
                group = Group([*group._processes, process], log)
            yield group
        finally:
            group.stop()


def run(command: Command, environ: Mapping[str, str], *, cwd: Path | None = None, user: int | None = None) -> str:
    """Run a command to its end and return what it printed. Raises NotMeasured when it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            list(map(str, command)),
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_TIMEOUT,
            cwd=cwd,
            user=user,
        )
    except FileNotFoundError:
        raise NotMeasured(f"not installed: {name}") from None
    if done.returncode != 0:
        raise NotMeasured(f"{name} ended with code {done.returncode}: {_end_of(done.stderr)}")
    return done.stdout


def environment(**variables: str | Path) -> dict[str, str]:
    """Return an environment that holds nothing of the caller's but what programs need."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, **{name: str(value) for name, value in variables.items()}}


def _end_of(text: str) -> str:
    return " ".join(text.split())[-_KEPT_LENGTH:]


def _descendants_of(pid: int) -> Iterator[int]:
    with suppress(OSError):  # it may end while we look
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                yield child
                yield from _descendants_of(child)


def _cpu_ticks(pid: int) -> int:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _pss_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
