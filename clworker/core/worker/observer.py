"""The port to whoever looks on: told what becomes of jobs, it has no say in it."""

from typing import Protocol

from clworker.core.models.attempts import Cause, Claim, Outcome


class Observer(Protocol):
    """Is told in the event loop's thread, once for each job; takes microseconds and raises nothing."""

    def job_ended(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """An outcome was recorded of a job that has run for so many seconds."""

    def job_returned(self, claim: Claim, cause: Cause) -> None:
        """A job that had begun went back to the queue."""

    def claim_lost(self, claim: Claim) -> None:
        """An attempt was not recorded, since its claim had gone."""

    def job_rescued(self) -> None:
        """A job of a dead worker was taken over."""


class Unobserved:
    """Nobody looks on."""

    def job_ended(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """Do nothing."""

    def job_returned(self, claim: Claim, cause: Cause) -> None:
        """Do nothing."""

    def claim_lost(self, claim: Claim) -> None:
        """Do nothing."""

    def job_rescued(self) -> None:
        """Do nothing."""
