"""What a child process of clworker asks of Linux."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HIGHEST_SCORE = 1000
_WORSE_SCORE = 500
"""Of a thousandth of the memory each, which the kernel adds to what the process really uses (proc(5))."""


def die_with_parent(parent: int, wanted: bool = True) -> None:
    """Have the kernel kill this process at once when its parent is gone, or no longer.

    Holds even while a plugin keeps the interpreter to itself. ``parent`` is the pid that
    this process was started by; when it is gone already, so are we.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if wanted else 0)
    if wanted and os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own (a subreaper)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def prefer_to_die_of_memory() -> None:
    """Have the kernel, short of memory, choose this process and what it starts before others.

    A job that is too big then costs a slot, not the worker or the database's own service.
    """
    with suppress(OSError, ValueError):
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(_HIGHEST_SCORE, int(score.read_text()) + _WORSE_SCORE)))


def leave_stopping_to_the_supervisor() -> None:
    """Outlive Ctrl-C and service managers that signal a whole group.

    Handlers that do nothing, not SIG_IGN: programs that a task starts get the default back.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _do_nothing)


def _do_nothing(_number: int, _frame: object) -> None:
    pass


def _prctl(option: int, value: int) -> None:
    # Elsewhere than on Linux there is no prctl; the closed channel is then the only sign.
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None and prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
