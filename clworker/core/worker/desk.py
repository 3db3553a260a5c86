"""The desk where outcomes are handed in and jobs handed out, both in one transaction.

Whatever has arrived while one transaction was under way goes into the next; nothing waits
for a timer, and what cannot be recorded now is handed in again until it can.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from clworker.core.errors import ClaimLost, DatabaseTrouble, StoreUnavailable, UsageFault
from clworker.core.models.attempts import Ending, Outcome
from clworker.core.store.claims import Exchange, Settlement
from clworker.core.store.queue import Choice
from clworker.core.store.store import Store
from clworker.core.worker.ledger import Ledger
from clworker.core.worker.outage import Outage

LAST_PATIENCE = 45.0
"""Seconds that a stopping worker still tries to keep what it has to say of its jobs."""

_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Matter:
    """A settlement, and who is to be told what became of it."""

    settlement: Settlement
    on_settled: Callable[[Ending | ClaimLost | DatabaseTrouble], None]
    """DatabaseTrouble means that it had to be given up."""
    clean_up: Callable[[], None] | None
    """Called afterwards, where it may block."""
    is_refused: bool = False
    """Whether it tells only that the database has refused what it was."""


class Desk:
    """The one place where claims of this worker begin and end."""

    def __init__(self, store: Store, ledger: Ledger, instance: str, task_types: Sequence[str]) -> None:
        self._store = store
        self._call = ledger.call
        self._instance = instance
        self._task_types = task_types
        self._matters: list[Matter] = []
        self._clean_ups: list[Callable[[], None]] = []
        self._apart = 0
        """How many matters, the first ones, are each to be settled alone."""
        self._outage = Outage("database out of reach; trying again until it is back")
        self._failures = 0
        self._patient_until: float | None = None
        self.ask: Callable[[], None] = _nothing
        """Called when there is a reason for an exchange: something was handed in, or a slot wants its next job."""

    @property
    def is_clear(self) -> bool:
        """Whether everything that was handed in is recorded."""
        return not self._matters

    @property
    def tokens(self) -> frozenset[str]:
        """The claims of what was handed in and is not recorded yet."""
        return frozenset(matter.settlement.claim.token for matter in self._matters)

    @property
    def is_closed(self) -> bool:
        """Whether the database was out of reach at the last try."""
        return self._outage.lasts

    @property
    def fault(self) -> str | None:
        """Why the database was out of reach at the last try."""
        return self._outage.latest

    @property
    def pause(self) -> float:
        """Seconds to wait before the next try."""
        return _PAUSES[min(self._failures, len(_PAUSES)) - 1]

    def hand_in(self, matter: Matter) -> None:
        """Have an attempt settled by the next exchange."""
        self._matters.append(matter)
        self.ask()

    def lose_patience(self) -> None:
        """Have what cannot be recorded within ``LAST_PATIENCE`` seconds given up."""
        if self._patient_until is None:
            self._patient_until = time.monotonic() + LAST_PATIENCE

    async def abandon(self, failure: DatabaseTrouble) -> None:
        """Give up whatever was handed in."""
        matters, self._matters = self._matters, []
        self._give_up(matters, failure)
        await self._clean_up()

    async def exchange(self, limit: int, choose: Choice) -> Exchange | None:
        """Settle what was handed in and claim up to ``limit`` jobs; None while the database is out of reach.

        Raises DatabaseLost, and UsageFault when the database refuses what no outcome can have caused.
        """
        matters, self._matters = self._next()
        settlements = [matter.settlement for matter in matters]
        try:
            done = await self._call(
                self._store.claims.exchange, settlements, self._instance, self._task_types, limit, choose
            )
        except StoreUnavailable as failure:
            self._keep(matters, failure)
            await self._clean_up()
            return None
        except UsageFault as failure:
            if not matters or matters[0].is_refused:
                self._matters = matters + self._matters
                raise
            self._matters = self._taken_apart(matters, failure) + self._matters
            self.ask()
            return None
        except BaseException:
            self._matters = matters + self._matters
            raise
        if self._apart:
            self.ask()
        self._tell(matters, done)
        await self._clean_up()
        return done

    def _next(self) -> tuple[list[Matter], list[Matter]]:
        """Return what is to be settled by the next exchange, and the rest."""
        if not self._apart:
            return self._matters, []
        self._apart -= 1
        return self._matters[:1], self._matters[1:]

    def _taken_apart(self, matters: list[Matter], failure: UsageFault) -> list[Matter]:
        """Have each tried alone; what is refused even then ends its job with that, and holds up no other."""
        self._apart += len(matters)
        if len(matters) > 1:
            return matters
        message = f"the outcome cannot be recorded: {failure}"
        settlement = replace(matters[0].settlement, conclude=lambda: Outcome.failed(message))
        return [replace(matters[0], settlement=settlement, is_refused=True)]

    def _tell(self, matters: Sequence[Matter], done: Exchange) -> None:
        kept: list[Matter] = []
        for matter, result in zip(matters, done.settled, strict=True):
            if isinstance(result, StoreUnavailable):
                kept.append(matter)
                failure = result
            else:
                self._close(matter, result)
        if kept:
            self._keep(kept, failure)
        else:
            self._failures = 0
            self._outage.over()

    def _keep(self, matters: list[Matter], failure: StoreUnavailable) -> None:
        """Hand in again what could not be settled, unless patience is at its end."""
        self._failures += 1
        self._outage.failed(str(failure))
        if self._patient_until is not None and time.monotonic() >= self._patient_until:
            self._give_up(matters, failure)
        else:
            self._matters = matters + self._matters

    def _give_up(self, matters: Sequence[Matter], failure: DatabaseTrouble) -> None:
        for matter in matters:
            self._close(matter, failure)

    def _close(self, matter: Matter, result: Ending | ClaimLost | DatabaseTrouble) -> None:
        matter.on_settled(result)
        if matter.clean_up is not None:
            self._clean_ups.append(matter.clean_up)

    async def _clean_up(self) -> None:
        clean_ups, self._clean_ups = self._clean_ups, []
        if clean_ups:
            await self._call(_call_all, clean_ups)


def _call_all(functions: Sequence[Callable[[], None]]) -> None:
    for function in functions:
        function()


def _nothing() -> None:
    pass
