"""Retained messages and events of strangers: understood, or malformed in words, and always safe to show."""

import json
from dataclasses import asdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clworker.cli import clear_capability, workers
from clworker.cli.render import print_listing
from clworker.core import roll_call
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.models.workers import WorkerRecord
from clworker.core.presence.messages import Capability, JobEvent, announces_queued
from clworker.core.presence.retained import Retained
from tests.support.hostile import assert_safe, fuzzed, json_texts, json_values, rendered, strict_json, unicode_text

_nearly: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "id": unicode_text | json_values,
        "worker_id": st.just("w") | json_values,
        "capabilities": st.lists(unicode_text, max_size=4) | json_values,
        "idle_count": st.integers() | json_values,
        "timestamp": st.integers() | json_values,
        "event_type": st.just("queued") | json_values,
        "more": json_values,
    },
)
payloads = st.one_of(
    st.binary(max_size=200),
    _nearly.map(lambda fields: json.dumps(fields).encode()),
    _nearly.map(lambda fields: json.dumps(fields).encode("utf-16")),
    _nearly.map(lambda fields: json.dumps(fields).encode()[:-1]),
    json_texts.map(lambda text: text.encode(errors="surrogatepass")),
    st.integers(60_000, 200_000).map(lambda size: b'{"event_type": "queued", "x": "' + b"x" * size + b'"}'),
)
_record = WorkerRecord("instance", "w", "run", "host", 1, 1, 1, 1000, 0, True)


@fuzzed
@given(payload=payloads)
def test_a_payload_is_understood_or_has_a_fault_in_words(payload: bytes) -> None:
    assert announces_queued(payload) in (True, False)
    try:
        found = Capability.parse(payload)
    except ValueError as fault:
        assert type(fault) is ValueError
        assert str(fault).split()[0] in ("is", "has")
    else:
        assert isinstance(found.worker_id, str)
        assert all(isinstance(name, str) for name in found.capabilities)
        assert (type(found.idle_count), type(found.timestamp)) == (int, int)


@fuzzed
@given(messages=st.dictionaries(st.just("w") | unicode_text, payloads, max_size=4))
def test_every_listing_of_what_stands_at_the_broker_is_sound(messages: dict[str, bytes]) -> None:
    standing = [Retained(worker_id, payload) for worker_id, payload in sorted(messages.items())]
    views = [asdict(view) for view in roll_call.match(standing, [_record])]
    told = [asdict(roll_call._told(message, "cleared", message.fault)) for message in standing]
    for rows, columns in ((views, workers._COLUMNS), (told, clear_capability._COLUMNS)):
        for name in ("table", "json", "jsonl", "csv"):

            def print_it(rows: Any = rows, name: str = name, columns: Any = columns) -> None:
                print_listing(rows, name, columns)

            output = rendered(print_it)
            assert_safe(output)
            lines = output.splitlines()
            if name == "json":
                assert len(strict_json(output)) == len(rows)
            elif name == "jsonl":
                assert len(list(map(strict_json, lines))) == len(rows)
            elif rows:
                assert len(lines) == len(rows) + (1 if name == "csv" else 2)


@fuzzed
@given(job_id=unicode_text)
def test_an_event_about_any_job_is_json_for_everybody(job_id: str) -> None:
    event = strict_json(JobEvent(job_id, ComputeJobStatus.QUEUED, 0).payload().decode())
    assert (event["job_id"], event["event_type"]) == (job_id, "queued")
