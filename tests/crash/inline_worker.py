"""A worker without slots: what supervisor and slot do to database and folders, in one process in their order.

So every step of it can be counted. The task copies its input to each of its outputs.
"""

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.store.identity import InstanceLock, mark_started
from clworker.core.worker.execution import Surroundings
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.outputs import Placement
from clworker.core.worker.rescuer import Rescuer
from clworker.core.worker.workspace import Workspace
from tests.crash.scene import TASK, home_of, open_store, settings_of
from tests.support.instances import new_instance

DONE = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"by": "us"})


class InlineWorker:
    """One instance, with its lock held."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_of(folder)
        self.store = open_store(folder)
        self.instance = new_instance()
        self.lock = InstanceLock(home_of(folder), self.instance)
        self.lock.needed_as_proof = True

    def start(self) -> None:
        """Register, as a worker does before its first claim."""
        self.store.instances.register(self.instance, self.lock.file)
        self.store.instances.prune()

    def rescue_dead(self) -> None:
        """Do what every worker does for those that have died."""

        async def rescue() -> None:
            with closing(Ledger()) as ledger:
                around = Surroundings(self.settings, self.store, ledger, NoopBroadcaster(), self.lock)
                await Rescuer(around).rescue_dead()

        asyncio.run(rescue())

    def claim(self) -> Claim:
        """Claim the job, which must be queued."""
        (claim,) = self.store.claims.claim(self.instance.instance, [TASK])
        return claim

    def execute(self, claim: Claim) -> Placement:
        """Do the slot's part: the task's outputs are written beside their places."""
        mark_started(self.lock.fd, 0, claim.token)
        placement = Placement(claim.job.params, self.settings.output_roots, claim.token, claim.older_tokens)
        workspace = Workspace(claim.job.params, self.settings.input_roots, self.settings.output_roots, claim.token)
        handed = workspace.open(claim.older_tokens)
        placement.note_staged(workspace.created)
        content = Path(handed["input_paths"][0]).read_bytes()
        for path in handed["output_paths"]:
            Path(path).write_bytes(content)
        workspace.keep()
        return placement

    def conclude(self, claim: Claim, placement: Placement, outcome: Outcome = DONE) -> None:
        """Do the supervisor's part of an outcome."""
        place: Callable[[], None] = placement.place if outcome is DONE else lambda: None
        self.store.claims.finish(claim, outcome, place)
        placement.discard()

    def give_back(self, claim: Claim, placement: Placement, cause: Cause, *, counted: bool) -> None:
        """Do the supervisor's part of a return to the queue."""
        self.store.claims.give_back(claim, cause, counted=counted)
        placement.discard()

    def run_all(self) -> None:
        """Run jobs until none waits."""
        while claims := self.store.claims.claim(self.instance.instance, [TASK]):
            for claim in claims:
                self.conclude(claim, self.execute(claim))

    def end(self) -> None:
        """End as a worker does that stops."""
        self.lock.needed_as_proof = not self.store.instances.end(self.instance.instance)
        self.store.close()
        self.lock.__exit__()

    def die(self) -> None:
        """Leave what a killed worker leaves, while this process goes on."""
        self.store.close()
        self.lock.needed_as_proof = True
        self.lock.__exit__()
