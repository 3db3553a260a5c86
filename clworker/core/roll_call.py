"""The workers as broker and database know them, and the removal of what is stale at the broker."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from clworker.core.clock import now_ms
from clworker.core.errors import BrokerUnavailable
from clworker.core.models.workers import WorkerRecord, WorkerView
from clworker.core.presence.retained import Retained, RetainedMessages
from clworker.core.settings import BrokerSettings
from clworker.core.store.identity import Role
from clworker.core.suggestions import did_you_mean
from clworker.core.times import as_age

HEARTBEATS = 3
"""So many heartbeats a worker may be silent before its message counts as stale."""

_GLANCE = 1.0
"""Seconds to listen for a worker whose message is to be removed by its name."""

SHOWN_PAYLOAD = 300


@dataclass(frozen=True, slots=True)
class Cleared:
    """What became of one worker's retained message, and what it said."""

    worker_id: str
    action: str
    reason: str | None
    payload: str | None


def standing(settings: BrokerSettings) -> tuple[list[Retained] | None, BrokerUnavailable | None]:
    """Return the retained messages, or None: with the trouble, or because no broker is to be used."""
    if settings.broadcast_type == "noop":
        return None, None
    try:
        with RetainedMessages(settings) as messages:
            return messages.standing(), None
    except BrokerUnavailable as trouble:
        return None, trouble


def match(retained: Sequence[Retained] | None, records: Sequence[WorkerRecord]) -> list[WorkerView]:
    """Put both sides together, by name. ``retained`` None means that the broker was not asked."""
    speakers = _speakers(records)
    said = {speakers[message.worker_id]: message for message in retained or () if message.worker_id in speakers}
    views = [_view(record, said.get(record.instance), retained is not None) for record in records]
    views += [_unregistered(message) for message in retained or () if message.worker_id not in speakers]
    return sorted(views, key=lambda view: (view.worker_id, view.started_at or 0))


def clear(
    settings: BrokerSettings,
    worker_ids: Collection[str],
    *,
    stale: bool,
    force: bool,
    holds_lock: Callable[[str], bool],
) -> list[Cleared]:
    """Remove retained messages and tell of each what stood there.

    With ``stale``, of all workers (or the named ones) those that are malformed or stay
    silent for three heartbeats; else of the named ones those that are not live, or all with
    ``force``. Raises BrokerUnavailable.
    """
    with RetainedMessages(settings) as messages:
        standing = {message.worker_id: message for message in messages.standing()}
        wanted = sorted(set(worker_ids)) or sorted(standing)
        present = {worker_id for worker_id in wanted if worker_id in standing}
        seconds = HEARTBEATS * settings.heartbeat_interval if stale else _GLANCE
        malformed = {worker_id for worker_id in present if standing[worker_id].fault}
        silent_until_now = present if force and not stale else present - malformed
        spoke = set() if force else messages.listen(seconds, lambda heard: silent_until_now <= heard)
        result = []
        for worker_id in wanted:
            live = _sign_of_life(worker_id, spoke, holds_lock)
            if worker_id not in present:
                reason = "; ".join(filter(None, ["no message stands there", did_you_mean(worker_id, standing)]))
                result.append(Cleared(worker_id, "nothing", reason, None))
            elif live is not None and not force:
                result.append(_told(standing[worker_id], "kept", live))
            else:
                messages.clear(worker_id)
                fault = standing[worker_id].fault
                result.append(_told(standing[worker_id], "cleared", f"malformed: it {fault}" if fault else None))
        return result


def _speakers(records: Sequence[WorkerRecord]) -> dict[str, str]:
    """Return whose message stands under each name: the living instance's, of dead ones the latest's."""
    stayers = [record for record in records if record.role == Role.RUN]
    stayers.sort(key=lambda record: (record.alive is not False, record.started_at))
    return {record.worker_id: record.instance for record in stayers}


def _sign_of_life(worker_id: str, spoke: Collection[str], holds_lock: Callable[[str], bool]) -> str | None:
    if worker_id in spoke:
        return "live: it spoke while we listened"
    return "live: it holds its lock" if holds_lock(worker_id) else None


def _told(message: Retained, action: str, reason: str | None) -> Cleared:
    return Cleared(message.worker_id, action, reason, message.payload[:SHOWN_PAYLOAD].decode(errors="replace"))


def _view(record: WorkerRecord, message: Retained | None, broker_asked: bool) -> WorkerView:
    capability = message.capability if message else None
    return WorkerView(
        record.worker_id,
        record.role,
        record.host,
        record.pid,
        record.started_at,
        record.alive,
        record.running,
        capability.capabilities if capability else None,
        capability.idle_count if capability else None,
        capability.timestamp if capability else None,
        _disagreement(record, message, broker_asked),
    )


def _disagreement(record: WorkerRecord, message: Retained | None, broker_asked: bool) -> str | None:
    if record.alive is False:
        stale = "; its message at the broker is stale" if message else ""
        return f"dead: its lock is free, and its jobs wait for a rescuer{stale}"
    if message is not None and message.fault:
        return f"its message at the broker {message.fault}"
    if broker_asked and record.role == Role.RUN and message is None:
        return "not to be seen at the broker"
    silent_ms = now_ms() - message.capability.timestamp if message and message.capability else 0
    if record.role == Role.RUN and silent_ms > HEARTBEATS * record.heartbeat_interval_ms:
        return f"silent at the broker for {as_age(silent_ms)}: stopped, hanging or cut off"
    return None if record.alive else "on another host: only its heartbeats tell"


def _unregistered(message: Retained) -> WorkerView:
    capability = message.capability
    note = "only at the broker: a worker of another database, or a stale message (see clear-capability)"
    return WorkerView(
        message.worker_id,
        None,
        None,
        None,
        None,
        None,
        None,
        capability.capabilities if capability else None,
        capability.idle_count if capability else None,
        capability.timestamp if capability else None,
        f"{note}; it {message.fault}" if message.fault else note,
    )
