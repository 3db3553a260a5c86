"""Makes the checks of several fields at once, each held to a deadline: one that hangs holds up nothing else.

Threads that do not come back, in a system call on a dead network disk, end with the program.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clworker.core.doctor.check import Check, Checks, failed, skipped
from clworker.core.errors import ClworkerError


@dataclass(frozen=True)
class Field:
    """Checks that are made one after another, and the seconds that they get in all.

    ``names`` are those of the checks, in their order; what was not made is told under them.
    """

    names: Sequence[str]
    examine: Callable[[], Checks]
    seconds: float
    in_main_thread: bool = False
    """Since the kernel ties a child's life to the thread that has started it; keeps its deadline itself."""


class _Examination:
    def __init__(self, field: Field) -> None:
        self._field = field
        self._made: list[Check] = []
        self._ended = threading.Event()
        self._rest = ""
        self._deadline = time.monotonic() + field.seconds

    def run(self) -> None:
        """Make the checks."""
        checks = self._field.examine()
        try:
            while True:
                self._made.append(next(checks))
        except StopIteration as end:
            self._rest = end.value or "there was no need to look"
        except ClworkerError as failure:
            self._give_up(str(failure), "mend this first")
        except Exception as failure:  # a fault of the doctor's own must not hide what the others say
            self._give_up(f"the check itself failed: {type(failure).__name__}: {failure}", "report this as a bug")
        self._ended.set()

    def result(self) -> list[Check]:
        """Wait until the checks are made or the time is up, and return one for each name."""
        made, rest = self._wait()
        missing = [name for name in self._field.names if name not in {check.name for check in made}]
        return [*made, *(skipped(name, rest) for name in missing)]

    def _wait(self) -> tuple[list[Check], str]:
        if self._ended.wait(max(0.0, self._deadline - time.monotonic())):
            return self._made, self._rest
        made = list(self._made)
        hangs = self._current(made)
        late = failed(hangs, f"no answer within {self._field.seconds:g} s", "see whether its disk or server hangs")
        return [*made, late], f"{hangs} did not answer"

    def _current(self, made: Sequence[Check]) -> str:
        done = {check.name for check in made}
        return next((name for name in self._field.names if name not in done), self._field.names[-1])

    def _give_up(self, found: str, advice: str) -> None:
        current = self._current(self._made)
        self._made.append(failed(current, found, advice))
        self._rest = f"{current} failed"


def examine(fields: Sequence[Field]) -> list[Check]:
    """Make all checks and return them in the order of the fields."""
    examinations = [_Examination(field) for field in fields]
    for field, examination in zip(fields, examinations, strict=True):
        if not field.in_main_thread:
            threading.Thread(target=examination.run, name=f"doctor-{field.names[0]}", daemon=True).start()
    for field, examination in zip(fields, examinations, strict=True):
        if field.in_main_thread:
            examination.run()
    return [check for examination in examinations for check in examination.result()]
