"""What a slot may say: whatever else comes up its channel is a ValueError, and no exception of ours."""

import logging
from typing import Any

import pytest

from clworker.core.frames import LARGEST, encode
from clworker.core.worker.reports import checked
from clworker.core.worker.slot import _message_of

LOG = {"type": "log", "logger": "task", "level": 20, "event": "it goes on", "extra": {"size": 3}}
FRAME = {"filename": "task.py", "lineno": 7, "name": "execute"}
FAILURE = {"exc_type": "ValueError", "exc_value": "no", "is_cause": False, "frames": [FRAME]}
OUTCOME = {
    "type": "outcome",
    "output": {"a": [1]},
    "error": None,
    "peak_kib": 1024,
    "seconds": 0.25,
    "missing_input": None,
}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "staged", "created": ["/a", "/a/b"]},
        {"type": "progress", "percent": 99},
        LOG,
        {**LOG, "exception": [FAILURE]},
        OUTCOME,
        {**OUTCOME, "output": None, "error": "it broke", "peak_kib": None},
    ],
    ids=str,
)
def test_what_a_slot_says_passes_unchanged(message: dict[str, Any]) -> None:
    assert checked(message) is message


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": ["log"]},
        {"type": "spawned", "slot": 1, "pid": 1},
        {"type": "staged"},
        {"type": "staged", "created": "/a"},
        {"type": "staged", "created": [1]},
        {"type": "progress", "percent": 100},
        {"type": "progress", "percent": -1},
        {"type": "progress", "percent": 1.5},
        {"type": "progress", "percent": True},
        {**LOG, "level": "info"},
        {**LOG, "event": None},
        {**LOG, "extra": [1]},
        {**LOG, "extra": {"message": "a field that logging keeps for itself"}},
        {**LOG, "exception": "ValueError"},
        {**LOG, "exception": [{**FAILURE, "exc_value": 1}]},
        {**LOG, "exception": [{**FAILURE, "frames": [{}]}]},
        {**OUTCOME, "error": ["it broke"]},
        {"type": "outcome", "error": None, "peak_kib": None},
        {**OUTCOME, "peak_kib": 1 << 70},
        {**OUTCOME, "missing_input": True},
        {**OUTCOME, "seconds": -0.1},
        {**OUTCOME, "seconds": None},
        {**OUTCOME, "seconds": True},
        {**OUTCOME, "seconds": float("nan")},
        {**OUTCOME, "seconds": float("inf")},
    ],
    ids=str,
)
def test_anything_else_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^its? "):
        checked(message)


def test_a_log_line_of_any_length_can_be_sent() -> None:
    endless = "x" * (LARGEST + 1)
    try:
        raise ValueError(endless)
    except ValueError as failure:
        exc_info = (ValueError, failure, failure.__traceback__)
    record = logging.makeLogRecord({"name": "task", "msg": endless, "size": endless, "exc_info": exc_info})
    assert len(encode(checked(_message_of(record)))) < 4 << 20
