"""What the probes of a service manager are told."""

from collections.abc import Iterator

from clworker.core.worker.situation import Phase, Situation

LONGEST_SILENCE = 5.0
"""Seconds for which the supervisor's loop may stand still."""


def ailment(silence: float) -> str | None:
    """Say why a worker whose loop last turned so many seconds ago is not alive; None for a live one."""
    if silence <= LONGEST_SILENCE:
        return None
    return f"the supervisor has not answered for {silence:.0f} s"


def hindrances(silence: float, situation: Situation | None, database_fault: str | None) -> Iterator[str]:
    """Yield every reason for which the worker could not take a job now."""
    reason = ailment(silence)
    if reason is not None:
        yield reason
    if situation is None or situation.phase is Phase.STARTING:
        yield "the worker is starting"
    elif situation.phase is Phase.DRAINING:
        yield "the worker drains: it lets running jobs end and takes no more"
    if situation is not None:
        if not situation.task_types:
            yield "no task is ready"
        if not situation.plugins_alive:
            yield "the process that holds the plugins has died; it is started again"
        database_fault = database_fault or situation.database_fault
    if database_fault is not None:
        yield database_fault
