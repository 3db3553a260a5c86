"""MQTT payloads: to the contract's letter on the way out, and whatever comes on the way in."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.presence.messages import Capability, JobEvent, announces_queued
from tests.support.workers import capability

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["id", "worker_id", "capabilities", "idle_count", "timestamp", "event_type"])
GARBAGE = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(FIELDS, JSON).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(FIELDS, JSON).map(lambda value: json.dumps(value).encode("utf-16")),
    st.dictionaries(FIELDS, st.just("queued")).map(lambda value: json.dumps(value).encode()[:-1]),
    st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b'{"idle_count": ' + b"9" * 5000 + b"}"]),
)


def fresh(timestamp: object) -> bool:
    return isinstance(timestamp, int) and abs(timestamp - time.time() * 1000) < 60_000


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (ComputeJobStatus.QUEUED, "queued"),
        (ComputeJobStatus.PROCESSING, "processing"),
        (ComputeJobStatus.COMPLETED, "completed"),
        (ComputeJobStatus.ERROR, "failed"),
    ],
)
def test_an_event_has_the_fields_and_words_that_clients_wait_for(status: ComputeJobStatus, word: str) -> None:
    payload = JobEvent('j"ob é', status, 50).payload()
    fields = json.loads(payload)
    assert fresh(fields.pop("timestamp"))
    assert fields == {"job_id": 'j"ob é', "event_type": word, "progress": 50}
    assert announces_queued(payload) == (word == "queued")


@given(st.text(), st.sets(TEXT), st.integers(0, 1000))
def test_a_capability_has_the_contracts_fields_and_is_read_back(
    worker_id: str, names: set[str], idle_count: int
) -> None:
    payload = Capability(worker_id, tuple(names), idle_count).payload()
    fields = json.loads(payload)
    assert fresh(fields["timestamp"])
    assert fields == capability(
        worker_id, capabilities=sorted(names), idle_count=idle_count, timestamp=fields["timestamp"]
    )
    assert Capability.parse(payload) == Capability(worker_id, tuple(sorted(names)), idle_count, fields["timestamp"])


@given(GARBAGE)
def test_garbage_raises_nothing_but_a_value_error_in_words(payload: bytes) -> None:
    assert announces_queued(payload) in (True, False)
    try:
        found = Capability.parse(payload)
    except ValueError as fault:
        assert str(fault).split()[0] in ("is", "has")
        assert type(fault) is ValueError
    else:
        assert isinstance(found.worker_id, str) and isinstance(found.idle_count, int)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"worker_id": None}, "has no worker_id"),
        ({"worker_id": 7}, "has no worker_id"),
        ({"capabilities": None}, "has no list of capabilities"),
        ({"capabilities": "image_resize"}, "has no list of capabilities"),
        ({"capabilities": ["image_resize", 7]}, "has no list of capabilities"),
        ({"idle_count": None}, "has no whole number idle_count"),
        ({"idle_count": True}, "has no whole number idle_count"),
        ({"idle_count": 1.0}, "has no whole number idle_count"),
        ({"timestamp": "1702123456789"}, "has no whole number timestamp"),
    ],
)
def test_a_fault_is_named(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        Capability.parse(json.dumps(capability("w", **changes)).encode())


def test_what_is_larger_than_any_message_is_not_even_parsed() -> None:
    payload = json.dumps(capability("w", more="x" * (64 << 10))).encode()
    with pytest.raises(ValueError, match=r"^is larger than 64 KiB$"):
        Capability.parse(payload)
    assert not announces_queued(b'{"event_type": "queued", "more": "' + b"x" * (64 << 10) + b'"}')


def test_an_older_workers_message_without_worker_id_is_understood() -> None:
    fields = capability("w")
    del fields["worker_id"]
    assert Capability.parse(json.dumps(fields).encode()).worker_id == "w"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"event_type": "queued"}', True),
        (b'{"job_id": "queued", "event_type": "processing"}', False),
        (b'{"job_id": "queued"}', False),
        (b'"queued"', False),
        (b'["queued"]', False),
        (b'{"event_type": ["queued"]}', False),
        (b'{"event_type": "queued"', False),
    ],
)
def test_only_a_queued_event_announces_a_job(payload: bytes, expected: bool) -> None:
    assert announces_queued(payload) is expected
