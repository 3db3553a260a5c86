"""What a chaos run will do, all of it drawn from one seed before anything starts.

The same seed, length and number of workers give the same plan; only the machine's
scheduling differs between two runs of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

HEARTBEAT = 1.0
"""Seconds between two heartbeats of a worker in a chaos run."""

JOBS_A_SECOND = 5


class Deed(StrEnum):
    """What the killer can do, to a worker, to the broker or to the database's server."""

    START = "start"
    KILL = "SIGKILL"
    KILL_NURSERY = "SIGKILL to the nursery"
    KILL_SLOT = "SIGKILL to a slot"
    STOP = "SIGSTOP"
    FREEZE = "SIGSTOP to all its processes"
    CONTINUE = "SIGCONT"
    TERMINATE = "SIGTERM"
    BROKER_KILL = "broker SIGKILL"
    BROKER_END = "broker SIGTERM"
    BROKER_START = "broker start"
    BROKER_STOP = "broker SIGSTOP"
    BROKER_CONTINUE = "broker SIGCONT"
    SERVER_STOP = "database server stopped"
    SERVER_CRASH = "database server crashed"
    SERVER_START = "database server start"
    SERVER_KILL_BACKEND = "SIGKILL to a connection's process"
    SERVER_CUT = "connections cut"


class JobKind(StrEnum):
    """What a job's task does; see ``tasks.py``."""

    WRITE = "write"
    FAIL = "fail"
    RAISE = "raise"
    EXIT = "exit"
    CRASH_ONCE = "crash-once"
    SPAWN = "spawn"
    PICTURE = "picture"


@dataclass(frozen=True)
class Act:
    """A deed ``at`` so many seconds after the start; ``worker`` is its place in the plan's list."""

    at: float
    deed: Deed
    worker: int | None = None


@dataclass(frozen=True)
class PlannedWorker:
    """How a worker is started, each time."""

    name: str
    concurrency: int
    drain_timeout: float


@dataclass(frozen=True)
class PlannedJob:
    """A job that is queued ``at`` so many seconds after the start, and runs for ``seconds``."""

    at: float
    job_id: str
    kind: JobKind
    seconds: float
    max_retries: int
    own_folder: bool
    """Whether its output goes to a folder that the worker has to make, or to one shared with others."""

    @property
    def output(self) -> str:
        """The output's path in the folder of all outputs."""
        name = f"{self.job_id}{'.jpg' if self.kind is JobKind.PICTURE else '.txt'}"
        return f"{self.job_id}/{name}" if self.own_folder else name


@dataclass(frozen=True)
class Plan:
    """One chaos run. ``acts`` and ``jobs`` are in the order of their times."""

    seed: int
    seconds: float
    workers: Sequence[PlannedWorker]
    jobs: Sequence[PlannedJob]
    acts: Sequence[Act]
    database: str = "sqlite"
    """Or ``postgresql``: the server's own troubles are then part of the plan."""

    @property
    def command(self) -> str:
        """The command that carries out this plan again."""
        on = "" if self.database == "sqlite" else f" DATABASE={self.database}"
        return f"make chaos SEED={self.seed} SECONDS={self.seconds:g} WORKERS={len(self.workers)}{on}"

    def __str__(self) -> str:
        """List everything, a line each."""
        return "\n".join([self.command, *map(str, [*self.workers, *self.acts, *self.jobs]), ""])


# A story is what happens to one worker, or to a server, until it is itself again: pairs of the shortest and
# longest pause before a deed, in seconds.
Story = Sequence[tuple[float, float, Deed]]
_RESTART = (0.0, 1.5, Deed.START)
_WORKER_STORIES: Sequence[tuple[int, Story]] = (
    (6, [(0, 0, Deed.KILL), _RESTART]),
    (1, [(0, 0, Deed.STOP), (0.1, 2, Deed.KILL), _RESTART]),
    (1, [(0, 0, Deed.FREEZE), (0.1, 2, Deed.KILL), (0.1, 2, Deed.CONTINUE), _RESTART]),
    (1, [(0, 0, Deed.KILL_NURSERY)]),
    (3, [(0, 0, Deed.KILL_SLOT)]),
    (2, [(0, 0, Deed.STOP), (0.1, 2, Deed.CONTINUE)]),
    (2, [(0, 0, Deed.STOP), (3.5 * HEARTBEAT, 5 * HEARTBEAT, Deed.CONTINUE)]),
    (2, [(0, 0, Deed.FREEZE), (0.1, 2, Deed.CONTINUE)]),
    (1, [(0, 0, Deed.FREEZE), (3.5 * HEARTBEAT, 5 * HEARTBEAT, Deed.CONTINUE)]),
    (3, [(0, 0, Deed.TERMINATE), _RESTART]),
    (1, [(0, 0, Deed.TERMINATE), (0, 0.5, Deed.TERMINATE), _RESTART]),
    (1, [(0, 0, Deed.TERMINATE), (0, 0.3, Deed.KILL), _RESTART]),
)
_BROKER_STORIES: Sequence[tuple[int, Story]] = (
    (3, [(0, 0, Deed.BROKER_KILL), (0.2, 4, Deed.BROKER_START)]),
    (1, [(0, 0, Deed.BROKER_END), (0.2, 4, Deed.BROKER_START)]),
    (1, [(0, 0, Deed.BROKER_STOP), (0.2, 4, Deed.BROKER_CONTINUE)]),
)
_SERVER_STORIES: Sequence[tuple[int, Story]] = (
    (2, [(0, 0, Deed.SERVER_STOP), (0.1, 3, Deed.SERVER_START)]),
    (2, [(0, 0, Deed.SERVER_CRASH), (0.1, 3, Deed.SERVER_START)]),
    (1, [(0, 0, Deed.SERVER_KILL_BACKEND)]),
    (4, [(0, 0, Deed.SERVER_CUT)]),
)
_JOB_KINDS = {
    JobKind.WRITE: 60,
    JobKind.PICTURE: 10,
    JobKind.SPAWN: 8,
    JobKind.FAIL: 8,
    JobKind.CRASH_ONCE: 6,
    JobKind.RAISE: 5,
    JobKind.EXIT: 3,
}


def make_plan(seed: int, seconds: float, workers: int, database: str = "sqlite") -> Plan:
    """Draw a plan of so many seconds; at its end all still live, or were killed for good."""
    acts = list(_acts_on_all(Random(f"{seed} broker"), _BROKER_STORIES, seconds))
    if database != "sqlite":
        acts += _acts_on_all(Random(f"{seed} server"), _SERVER_STORIES, seconds)
    for number in range(workers):
        acts += _worker_acts(Random(f"{seed} acts {number}"), number, seconds)
    drawn = Random(f"{seed} workers")
    return Plan(
        seed,
        seconds,
        tuple(
            PlannedWorker(f"chaos-{number}", drawn.choice([1, 2]), drawn.choice([0.3, 1.0, 3.0]))
            for number in range(workers)
        ),
        tuple(_jobs(Random(f"{seed} jobs"), seconds)),
        tuple(sorted(acts, key=lambda act: act.at)),  # stable: one worker's acts keep their order
        database,
    )


def _worker_acts(rng: Random, number: int, seconds: float) -> Iterator[Act]:
    at = _drawn(rng, 0, 0.5)
    yield Act(at, Deed.START, number)
    while (at := at + _drawn(rng, 1, 6)) < seconds:
        for act in _told(rng, _WORKER_STORIES, at):
            at = act.at
            if act.deed is Deed.START and at > seconds:
                return  # dead, and it stays so
            yield Act(min(at, seconds), act.deed, number)
    if number and rng.random() < 0.5:
        yield Act(seconds, Deed.KILL, number)


def _acts_on_all(rng: Random, stories: Sequence[tuple[int, Story]], seconds: float) -> Iterator[Act]:
    at = 0.0
    while (at := at + _drawn(rng, 2, 8)) < seconds:
        for act in _told(rng, stories, at):
            at = act.at
            yield Act(min(at, seconds), act.deed)


def _told(rng: Random, stories: Sequence[tuple[int, Story]], at: float) -> Iterator[Act]:
    """Choose a story by its weight and put times to its deeds."""
    (story,) = rng.choices([story for _, story in stories], [weight for weight, _ in stories])
    for shortest, longest, deed in story:
        at = round(at + _drawn(rng, shortest, longest), 3)
        yield Act(at, deed)


def _jobs(rng: Random, seconds: float) -> Iterator[PlannedJob]:
    times = sorted(_drawn(rng, 0, seconds) for _ in range(int(seconds * JOBS_A_SECOND)))
    for number, at in enumerate(times):
        (kind,) = rng.choices(list(_JOB_KINDS), list(_JOB_KINDS.values()))
        duration = _drawn(rng, 0, 0.2) if rng.random() < 0.7 else _drawn(rng, 0.5, 2)
        max_retries = rng.choice([3, 3, 3, 3, 1, 0])
        yield PlannedJob(at, f"job-{number:04}", kind, duration, max_retries, rng.random() < 0.5)


def _drawn(rng: Random, shortest: float, longest: float) -> float:
    return round(rng.uniform(shortest, longest), 3)
