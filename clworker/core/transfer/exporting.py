"""Jobs on their way out: every one that matches, in a stable order and in flat memory."""

from collections.abc import Callable, Iterator
from typing import Any

from clworker.core.models.requests import JobFilter
from clworker.core.store.store import Store
from clworker.core.store.transfers import Leaving
from clworker.core.transfer.lines import check, fields_of

_LARGEST_PAGE = 100
_FULL = 4 << 20
"""Characters in one page, above which the next one has fewer jobs."""


def export(store: Store, wanted: JobFilter, on_left_out: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield the fields of each job, the one that was added first before all others.

    Each page is a transaction of its own: an export that is slow, or waits for its reader,
    holds up nobody. A job that changes meanwhile comes as it stood at one moment. Those that
    no import would take are told to ``on_left_out``. Raises StoreUnavailable.
    """
    size = 1
    after: int | None = None
    while page := store.transfers.page(wanted, after, size):
        for leaving in page:
            fault = _fault_of(leaving)
            if fault is None:
                yield fields_of(leaving.job)
            else:
                on_left_out(f"job {leaving.job.job_id!r} is left out: {fault}")
        after = page[-1].row_id
        is_full = sum(leaving.size for leaving in page) > _FULL
        size = max(1, size // 2) if is_full else min(_LARGEST_PAGE, size * 2)


def _fault_of(leaving: Leaving) -> str | None:
    if leaving.held_back is not None:
        return f"{leaving.held_back} is {getattr(leaving.job, leaving.held_back)}"
    try:
        check(leaving.job)
    except ValueError as fault:
        return str(fault)
    return None
