"""Exchanges whose commit was not answered before the server went away for long.

What they have done, if they have, is told by the first exchange after that: an outcome that
was recorded is not taken for one that came too late, and no job stays claimed by a worker
that does not know of it.
"""

from collections.abc import Collection, Sequence

from clworker.core.errors import ClaimLost, StoreUnavailable
from clworker.core.models.attempts import Claim, Ending
from clworker.core.store.claims import Exchange, Settlement
from clworker.core.store.database import Database, Evidence, InDoubt
from clworker.core.store.passing import PassingClaims
from clworker.core.store.queue import Choice
from clworker.core.store.schema import JobsTable


class CertainClaims(PassingClaims):
    """The state machine of jobs, for one who hands in again what has failed."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        super().__init__(database, jobs)
        self._doubtful: tuple[Evidence, Sequence[Settlement], Exchange] | None = None
        self._settled: dict[str, Ending | ClaimLost | StoreUnavailable] = {}
        self._claimed: list[Claim] = []

    def exchange(
        self,
        settlements: Sequence[Settlement],
        instance: str,
        task_types: Sequence[str],
        limit: int,
        choose: Choice = len,
    ) -> Exchange:
        """Exchange as ever, once it is known what became of the last one. Raises StoreUnavailable."""
        self._find_out()
        new = [settlement for settlement in settlements if settlement.claim.token not in self._settled]
        claimed = self._claimed[: max(0, limit)]
        try:
            more = super().exchange(new, instance, task_types, limit - len(claimed), choose)
        except InDoubt as failure:
            self._doubtful = failure.evidence, new, failure.evidence.result
            raise
        del self._claimed[: len(claimed)]
        results = iter(more.settled)
        # The others are asked for later, where not all that was handed in comes again at once.
        tokens = [settlement.claim.token for settlement in settlements]
        settled = [self._settled.pop(token) if token in self._settled else next(results) for token in tokens]
        return Exchange(settled, [*claimed, *more.claims], more.ended)

    def forgotten(self, instance: str, known: Collection[str]) -> list[Claim]:
        """Return the claims that are not ``known``, once it is known what became of the last exchange."""
        self._find_out()
        found = super().forgotten(instance, known)
        return [claim for claim in found if claim.token not in {waiting.token for waiting in self._claimed}]

    def _find_out(self) -> None:
        if self._doubtful is None:
            return
        evidence, settlements, exchange = self._doubtful
        with self._database.read() as connection:
            stands = evidence.stands(connection)
        self._doubtful = None
        if stands:
            tokens = [settlement.claim.token for settlement in settlements]
            self._settled |= dict(zip(tokens, exchange.settled, strict=True))
            self._claimed += exchange.claims
