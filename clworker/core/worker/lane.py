"""A slot, the job that runs in it, and those that wait behind it."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from clworker.core.frames import Message, body_of
from clworker.core.models.attempts import Cause, Claim, Death
from clworker.core.worker.desk import Desk
from clworker.core.worker.execution import Execution, Surroundings
from clworker.core.worker.lookahead import LookAhead
from clworker.core.worker.orders import LARGEST, token_of
from clworker.core.worker.pace import MOST_HELD, Load, Pace
from clworker.core.worker.situation import SlotState
from clworker.core.worker.slots import Slot

A_MOMENT = 0.02
"""Seconds that a job may run before its start is told, and before those behind it go back to the queue."""


class Lane:
    """Hands jobs to one slot and takes its answers, in the same order."""

    def __init__(self, slot: Slot, around: Surroundings, desk: Desk, pace: Pace) -> None:
        self.slot = slot
        self._around = around
        self._desk = desk
        self._pace = pace
        self._executions: deque[Execution] = deque()
        self._capacity = MOST_HELD
        self._warm: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._look_ahead = LookAhead(desk.ask, self.take_back)
        slot.on_message = self._receive
        slot.on_death = self._slot_died

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits here."""
        return not self._executions

    @property
    def state(self) -> SlotState:
        """The slot's process, and what it is at."""
        return SlotState(self.slot.pid, self._executions[0].state if self._executions else None)

    @property
    def tokens(self) -> Sequence[str]:
        """The claims of what runs and waits here."""
        return [execution.claim.token for execution in self._executions]

    def load(self) -> Load:
        """Return what is here, for a decision about more."""
        load = Load(most=self._capacity, ends_soon=self._look_ahead.due)
        for execution in self._executions:
            load.add(None if execution.is_long else self._pace.expected(execution.claim.job))
        return load

    def hand(self, claim: Claim) -> None:
        """Have the slot run a job after those that it has."""
        execution = Execution(claim, self.slot, self._around, self._desk)
        try:
            order = body_of(execution.order)
        except ValueError as failure:
            execution.refuse(f"params cannot be handed to a task: {failure}")
            return
        if self.slot.is_gone or not self.slot.hand(order):
            self._learn_from_refusal(claim, len(order))
            self.hand_back(claim)
            return
        self._executions.append(execution)
        self.slot.busy = True
        if len(self._executions) == 1:
            self._begin()
        elif self._look_ahead.due:
            self._look_ahead.note_given()

    def hand_back(self, claim: Claim, cause: Cause = Cause.NEVER_STARTED) -> None:
        """Return a job to the queue that no slot has."""
        Execution(claim, self.slot, self._around, self._desk).hand_back(cause)

    def take_back(self) -> None:
        """Return to the queue what waits behind the job whose turn it is."""
        self._look_ahead.stop()
        self._return_waiting()

    def stop(self) -> None:
        """Return everything to the queue, the running job too."""
        self.take_back()
        if self._executions:
            self._executions[0].stop()

    def lose(self, token: str) -> None:
        """End the job of a claim that is gone."""
        if self._executions and self._executions[0].claim.token == token:
            self.take_back()
            self._executions[0].lose_claim()
        else:
            self.take_back()

    def _learn_from_refusal(self, claim: Claim, size: int) -> None:
        """Take care that the next jobs are not claimed only to be handed back as well."""
        if size <= LARGEST:  # the queue to the slot is full
            self._capacity = max(1, len(self._executions))
        else:  # it must not wait behind others, so its task counts as one of those that do not
            self._pace.note(claim.job.task_type, A_MOMENT)

    def _begin(self) -> None:
        execution = self._executions[0]
        job = execution.claim.job
        is_quick = self._pace.expected(job) is not None
        execution.begin(is_quick=is_quick)
        self._look_ahead.job_begins(None if is_quick else self._pace.average(job.task_type))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(A_MOMENT, self._look)

    def _look(self) -> None:
        """See to a job that has run for more than a moment; look again if it has not yet."""
        self._timer = None
        if not self._executions:
            return
        execution = self._executions[0]
        left = (execution.began or 0.0) + A_MOMENT - time.monotonic()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)
        else:
            execution.tell_start()
            if not self._look_ahead.given:
                self._return_waiting()

    def _receive(self, message: Message) -> None:
        if not self._executions:
            return  # a late word of a thread that the last job has left
        execution = self._executions[0]
        execution.receive(message)
        if message["type"] == "outcome":
            self._executions.popleft()
            self.slot.jobs_done += 1
            self._note_pace(execution.claim.job.task_type, message["seconds"])
            if self._executions:
                self._begin()
            else:
                self._look_ahead.stop()
                self.slot.busy = False

    def _note_pace(self, task_type: str, seconds: float) -> None:
        """Remember how long a job took by its slot's clock: on a busy machine an answer may take longer than a job.

        Unless it was the first of its task in the slot, which has everything to load.
        """
        if task_type in self._warm:
            self._pace.note(task_type, seconds)
        self._warm.add(task_type)

    def _slot_died(self, death: Death) -> None:
        executions, self._executions = self._executions, deque()
        self._look_ahead.stop()
        self.slot.busy = False
        if executions:
            executions.popleft().slot_died(death)
        for execution in executions:
            execution.hand_back()

    def _return_waiting(self) -> None:
        taken = self.slot.orders.take_back()
        if taken and len(taken) == len(self._executions):
            self.slot.orders.put(taken.pop(0))  # it is its turn, however long the process takes to see that
        if not taken or not self._executions:
            return
        # By name: the slot may have taken one out of the middle while we took those around it.
        tokens = {token_of(order) for order in taken}
        first = self._executions[0]
        returned = [execution for execution in self._executions if execution.claim.token in tokens]
        self._executions = deque(execution for execution in self._executions if execution.claim.token not in tokens)
        if None in tokens:  # a large order is always the first; what it needs is on its way already
            self.slot.orders.announce_large()
            self._executions.rotate(-1)
        if self._executions[0] is not first:
            self._begin()
        for execution in reversed(returned):
            execution.hand_back()
