"""The workers of a chaos run: started, signalled and started again as the plan has it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.chaos.plan import HEARTBEAT, Deed, Plan, PlannedWorker
from tests.support.processes import children_of, command_of, descendants_of
from tests.support.program import Program
from tests.support.worker import Worker

MARKER = "CHAOS_RUN"
"""The variable by which every process of a run is known, daemons of its tasks included."""

_LOOK_EVERY = 0.02


@dataclass(frozen=True)
class Done:
    """A deed that hit, at a time of the wall clock."""

    at: float
    deed: Deed


class Run:
    """One process of a worker with its children, from its start to its end, and what was done to it."""

    def __init__(self, program: Program, folder: Path, planned: PlannedWorker) -> None:
        self.name = planned.name
        self.marker = str(folder)
        self.done: list[Done] = []
        self._halted: list[int] = []
        args = ["-w", planned.name, "-c", str(planned.concurrency), "--drain-timeout", str(planned.drain_timeout)]
        variables = {"MQTT_HEARTBEAT_INTERVAL": str(HEARTBEAT), "WORKER_POLL_INTERVAL": "1", MARKER: self.marker}
        self.worker = Worker(program, folder, *args, **variables)

    @property
    def ended(self) -> bool:
        """Whether the supervisor has ended."""
        return self.worker.process.poll() is not None

    def do(self, deed: Deed) -> None:
        """Do it, if there is still somebody to do it to."""
        match deed:
            case Deed.KILL:
                hit = self._send(signal.SIGKILL, [self.worker.pid])
            case Deed.TERMINATE:
                hit = self._send(signal.SIGTERM, [self.worker.pid])
            case Deed.KILL_NURSERY:
                # Not while plugins are loaded for the first time: whoever dies then is taken for broken.
                hit = bool(self.worker.logged("worker started")) and self._send(signal.SIGKILL, self._nurseries())
            case Deed.KILL_SLOT:
                hit = self._send(signal.SIGKILL, self._slots()[:1])
            case Deed.STOP:
                self._halted = [self.worker.pid]
                hit = self._send(signal.SIGSTOP, self._halted)
            case Deed.FREEZE:
                self._halted = [self.worker.pid, *descendants_of(self.worker.pid)]
                hit = self._send(signal.SIGSTOP, self._halted)
            case _:
                assert deed is Deed.CONTINUE
                hit = self._send(signal.SIGCONT, self._halted)
                self._halted = []
        if hit:
            self.done.append(Done(time.time(), deed))

    def times_of(self, *deeds: Deed) -> list[float]:
        """Return when these deeds have hit."""
        return [done.at for done in self.done if done.deed in deeds]

    @property
    def free_since(self) -> float | None:
        """When a killed run's lock became free: at the kill, or once what was frozen of it could go on."""
        kills = self.times_of(Deed.KILL)
        if not kills:
            return None
        return max([*kills, *(at for at in self.times_of(Deed.CONTINUE) if self.times_of(Deed.FREEZE))])

    def watches(self) -> Iterator[tuple[float, float]]:
        """Yield the times in which this run could see to the dead ones: started, and neither stopped nor asked to."""
        started = self.worker.logged("worker started")
        if not started:
            return
        begin = start = datetime.fromisoformat(started[0]["timestamp"]).timestamp()
        watching = True
        for done in self.done:
            if watching and done.deed in (Deed.KILL, Deed.TERMINATE, Deed.STOP, Deed.FREEZE):
                if begin < done.at:
                    yield begin, done.at
                watching = False
            if done.deed in (Deed.KILL, Deed.TERMINATE):
                return
            if done.deed is Deed.CONTINUE:
                begin, watching = max(start, done.at), True
        if watching:
            yield begin, float("inf")

    def halts(self) -> Iterator[tuple[float, float]]:
        """Yield the times in which the supervisor was stopped, with whatever lock it then held."""
        begin: float | None = None
        for done in self.done:
            if begin is None and done.deed in (Deed.STOP, Deed.FREEZE):
                begin = done.at
            elif begin is not None and done.deed in (Deed.CONTINUE, Deed.KILL):
                yield begin, done.at
                begin = None

    def _send(self, number: signal.Signals, pids: list[int]) -> bool:
        # The supervisor is our child: its pid stays its own until we have waited for it.
        hit = False
        for pid in pids:
            if pid == self.worker.pid and self.ended:
                continue
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                hit = True
        return hit

    def _nurseries(self) -> list[int]:
        return [pid for pid in children_of(self.worker.pid) if "nursery" in command_of(pid)]

    def _slots(self) -> list[int]:
        return [pid for nursery in self._nurseries() for pid in children_of(nursery) if "nursery" in command_of(pid)]


class Fleet:
    """All workers of a plan. Use as a context manager, which kills what is left."""

    def __init__(self, program: Program, folder: Path, plan: Plan) -> None:
        self._program = program
        self._folder = folder
        self._planned = plan.workers
        self._current: dict[int, Run] = {}
        self._wanted: set[int] = set()
        self.runs: list[Run] = []

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_failure: object) -> None:
        for run in self.runs:
            run.do(Deed.KILL)
            run.do(Deed.CONTINUE)
            run.worker.__exit__()

    @property
    def living(self) -> list[Run]:
        """The runs whose supervisor has not ended."""
        return [run for run in self.runs if not run.ended]

    def perform(self, number: int, deed: Deed) -> None:
        """Do something to a worker; one that is to start does so as soon as its last run has ended."""
        if deed is Deed.START:
            self._wanted.add(number)
        elif number in self._current:
            self._current[number].do(deed)

    def tend(self) -> None:
        """Start what is to be started, and what has ended by itself."""
        for number, run in self._current.items():
            if run.ended and not run.times_of(Deed.KILL, Deed.TERMINATE):
                self._wanted.add(number)
        for number in sorted(self._wanted):
            if number not in self._current or self._current[number].ended:
                self._start(number)

    def tend_until(self, deadline: float) -> None:
        """Tend until a time of the monotonic clock."""
        self.tend()
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY))
            self.tend()

    def _start(self, number: int) -> None:
        self._wanted.discard(number)
        planned = self._planned[number]
        earlier = sum(run.name == planned.name for run in self.runs)
        self._current[number] = run = Run(self._program, self._folder / f"{planned.name}.{earlier + 1}", planned)
        self.runs.append(run)
