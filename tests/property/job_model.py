"""The model of the jobs and their workers, and what has to hold between it and the database after every step."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from clworker.core.errors import ClaimLost
from clworker.core.models.attempts import Claim
from tests.support import databases
from tests.support.clock import stopped_clock
from tests.support.emptied import Emptied
from tests.support.instances import Member

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a commit costs no disk's time: thousands of them are made here."""


@dataclass
class Row:
    """A row of ``jobs`` as the model knows it."""

    number: int
    task_type: str
    priority: int
    created_at: int
    max_retries: int
    status: str = "queued"
    progress: int = 0
    retry_count: int = 0
    started_at: int | None = None
    error_message: str | None = None

    def seen(self) -> list[object]:
        return [self.status, self.progress, self.retry_count, self.started_at, self.error_message]


class JobModel(RuleBasedStateMachine):
    """A database with three workers, and what is in it by the model; the rules are for those who inherit."""

    generation: str
    server: Emptied | None = None
    """Where the database is to be a server's."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.stack.callback(shutil.rmtree, folder)
        self.clock = self.stack.enter_context(stopped_clock())
        self.path: databases.Place = folder / "media_store.db"
        if self.server is not None:
            self.path = self.server.place(self.generation, folder / "media_store.db")
        else:
            databases.create(folder / "media_store.db", self.generation)
        self.store = databases.open_store(self.path)
        self.stack.callback(self.store.close)
        self.reader = self.stack.enter_context(closing(databases.connect(self.path)))
        self.rows: dict[str, Row] = {}
        self.open: dict[str, tuple[str, str, int]] = {}
        """The open attempt at each job: its instance, token and witness."""
        self.inserted = 0
        self.placed: set[str] = set()
        self.started: set[str] = set()
        """The tokens of claims whose jobs have started."""
        self.given_up: set[str] = set()
        """Instances that were ended by others and may still come back."""
        self.members: dict[str, Member] = {}
        for name in ("worker-1", "worker-2", "worker-3"):
            self.join(name)

    def teardown(self) -> None:
        self.stack.close()

    def join(self, name: str) -> None:
        """Start a worker of this name; no other that may live has it."""
        member = Member(self.store.database.home, name=name)
        self.stack.callback(member.die)
        assert self.store.instances.register(member.instance, member.file) == []
        self.members[name] = member

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return what is really there."""
        return list(self.reader.execute(query).fetchall())

    # What the model says.

    def holds(self, claim: Claim) -> bool:
        row, attempt = self.rows.get(claim.job_id), self.open.get(claim.job_id)
        return (
            row is not None
            and row.status == "processing"
            and row.started_at == claim.started_at
            and attempt is not None
            and attempt[1] == claim.token
        )

    def order(self, item: tuple[str, Row]) -> tuple[int, int, int]:
        row = item[1]
        return (-row.priority if self.generation == "current" else 0, row.created_at, row.number)

    def try_as(self, claim: Claim, act: Callable[[], None]) -> bool:
        """Act by a claim; it has to work exactly when the model says that the claim is held."""
        held = self.holds(claim)
        try:
            act()
        except ClaimLost:
            assert not held
        else:
            assert held
        return held

    def lost_by(self, member: Member) -> list[tuple[str, Row]]:
        """Close all attempts of an instance in the model; return the jobs that it really still had."""
        lost = []
        for job_id, (holder, _, started_at) in list(self.open.items()):
            row = self.rows.get(job_id)
            if holder != member.id:
                continue
            if row is not None and row.status == "processing" and row.started_at == started_at:
                lost.append((job_id, row))
            else:
                del self.open[job_id]
        return lost

    @initialize(now=st.integers(min_value=1_000, max_value=10**13))
    def start(self, now: int) -> None:
        self.clock.now = now

    # What has to hold after every step.

    @invariant()
    def the_jobs_are_what_the_model_says(self) -> None:
        columns = "job_id, status, progress, retry_count, started_at, error_message"
        seen = {job_id: fields for job_id, *fields in self.read(f"SELECT {columns} FROM jobs")}
        assert seen == {job_id: row.seen() for job_id, row in self.rows.items()}

    @invariant()
    def no_job_has_two_holders(self) -> None:
        query = "SELECT job_id, instance, token, started_at FROM clworker_attempts WHERE ended_at IS NULL"
        attempts = self.read(query)
        assert len({job_id for job_id, *_ in attempts}) == len(attempts)
        assert {job_id: tuple(attempt) for job_id, *attempt in attempts} == self.open

    @invariant()
    def each_worker_knows_what_it_holds(self) -> None:
        for member in self.members.values():
            mine = {(job_id, attempt) for job_id, attempt in self.open.items() if attempt[0] == member.id}
            held = {token for job_id, (_, token, started_at) in mine if self.is_processed(job_id, started_at)}
            assert self.store.claims.held(member.id) == held

    def is_processed(self, job_id: str, started_at: int) -> bool:
        row = self.rows.get(job_id)
        return row is not None and (row.status, row.started_at) == ("processing", started_at)

    @invariant()
    def retries_stay_within_their_limit(self) -> None:
        assert all(row.retry_count <= row.max_retries for row in self.rows.values())
