"""What comes up the channel of a slot: messages that are sound, or a ValueError, and nothing else."""

import json
import logging
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clworker.core.frames import Decoder, encode
from clworker.core.worker.execution import _outcome_of
from clworker.core.worker.outputs import Placement
from clworker.core.worker.reports import checked, relay
from clworker.core.worker.slot import _message_of
from tests.support.hostile import any_text, fuzzed, json_texts, json_values

_KINDS = ["staged", "progress", "log", "outcome"]
_frame = st.fixed_dictionaries({"filename": any_text, "lineno": json_values, "name": any_text})
_failure = st.fixed_dictionaries(
    {"exc_type": any_text, "exc_value": any_text, "frames": st.lists(_frame | json_values, max_size=2)}
)
nearly_messages: st.SearchStrategy[Any] = json_values | st.fixed_dictionaries(
    {"type": st.sampled_from(_KINDS) | json_values},
    optional={
        "created": st.lists(any_text, max_size=3) | json_values,
        "percent": st.integers(-5, 105) | json_values,
        "logger": any_text | json_values,
        "level": st.integers(0, 60) | json_values,
        "event": any_text | json_values,
        "extra": st.dictionaries(st.sampled_from(["message", "args", "size"]) | any_text, json_values) | json_values,
        "exception": st.lists(_failure | json_values, max_size=2) | json_values,
        "output": json_values,
        "error": any_text | json_values,
        "peak_kib": st.integers(0, 1 << 40) | json_values,
        "missing_input": any_text | json_values,
        "seconds": st.floats() | json_values,
    },
)
bodies = st.binary(max_size=60) | json_texts.map(lambda text: text.encode(errors="surrogatepass"))


@fuzzed
@given(
    chunks=st.lists(
        st.binary(max_size=60)
        | bodies.map(lambda body: len(body).to_bytes(4, "big") + body)
        | nearly_messages.map(lambda value: json.dumps(value).encode()).map(
            lambda body: len(body).to_bytes(4, "big") + body
        ),
        max_size=5,
    )
)
def test_bytes_are_objects_or_a_value_error(chunks: list[bytes]) -> None:
    decoder = Decoder()
    with suppress(ValueError):
        for chunk in chunks:
            for message in decoder.feed(chunk):
                assert isinstance(message, dict)


@fuzzed
@given(message=nearly_messages)
def test_a_message_that_passes_can_be_obeyed(message: Any) -> None:
    if not isinstance(message, dict):
        return
    (arrived,) = Decoder().feed(encode(message))
    try:
        sound = checked(arrived)
    except ValueError:
        return
    match sound["type"]:
        case "staged":
            placement = Placement({}, [], "0123456789abcdef")
            placement.note_staged(sound["created"])
            placement.discard()
        case "progress":
            assert 0 <= sound["percent"] <= 99
        case "log":
            relay(sound, {})
        case "outcome":
            outcome = _outcome_of(sound)
            assert outcome.error_message is None or len(outcome.error_message.splitlines()) <= 1


class _Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@fuzzed
@given(
    text=any_text,
    args=st.lists(json_values | st.builds(_Odd), max_size=3),
    extra=st.dictionaries(any_text.map("x{}".format), json_values | st.builds(_Odd) | st.binary(), max_size=3),
)
def test_whatever_a_task_logs_can_be_sent_and_is_accepted(text: str, args: list[Any], extra: dict[str, Any]) -> None:
    record = logging.makeLogRecord({"name": "task", "msg": text, "args": tuple(args), "levelno": 20, **extra})
    (arrived,) = Decoder().feed(encode(_message_of(record)))
    json.dumps(checked(arrived), allow_nan=False)
