"""A job as one line of JSON, and what it takes to be one.

The export checks what it writes by the same rules: whatever it writes, an import takes.
Faults are ValueErrors, whose text goes on where ``line 7: `` or ``job 3f2a: `` began.
"""

import json
from collections.abc import Callable
from typing import Any

from clworker.core.models.jobs import LARGEST_JSON, ComputeJob, ComputeJobStatus
from clworker.core.store.rows import LARGEST_WHOLE, is_too_deep

LONGEST_LINE = 16 << 20
"""Bytes: room for params, output and message at their largest."""

_FIELDS = tuple(ComputeJob.__dataclass_fields__)
_NULLABLE = {"priority", "output", "error_message", "started_at", "completed_at", "updated_at", "created_by"}
_STATUSES = tuple(map(str, ComputeJobStatus))
_LARGEST_INTEGER = (1 << 31) - 1
_SHOWN = 40
_SHORT = 400
"""Characters of JSON that cannot be nested too deep, nor be too large."""


def job_of_line(line: bytes) -> ComputeJob:
    """Read one line. Raises ValueError for one that is no job."""
    fields = _decoded(line)
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object; each line has to be one job, as 'jobs export' writes it")
    if unknown := sorted(fields.keys() - set(_FIELDS)):
        raise ValueError(f"a job has no field {_shown(unknown[0])}; the fields are {', '.join(_FIELDS)}")
    if missing := [name for name in _FIELDS if name not in fields and name not in _NULLABLE]:
        raise ValueError(f"the field {missing[0]} is missing")
    values: dict[str, Any] = {name: fields.get(name) for name in _FIELDS}
    job = ComputeJob(**values)
    check(job)
    return job


def check(job: ComputeJob) -> None:
    """Raise ValueError for a field that no database can hold, or no job has."""
    for name, fault_of in _RULES.items():
        value = getattr(job, name)
        if value is None and name in _NULLABLE:
            continue
        if fault := fault_of(value):
            raise ValueError(f"{name} is {_shown(value)}, {fault}")


def fields_of(job: ComputeJob) -> dict[str, Any]:
    """Return a job in the names and order of a line."""
    return {name: getattr(job, name) for name in _FIELDS}


def _decoded(line: bytes) -> Any:
    try:
        return _DECODER.decode(line.decode())
    except UnicodeDecodeError as failure:
        raise ValueError(f"it is not UTF-8, at byte {failure.start + 1}") from None
    except json.JSONDecodeError as failure:
        raise ValueError(f"it is not JSON: {failure.msg}, at character {failure.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as failure:
        raise ValueError(f"it is not JSON: {failure}") from None


def _not_json(word: str) -> Any:
    raise ValueError(f"{word} is no number there")


def _finite(text: str) -> float:
    value = float(text)
    return value if abs(value) != float("inf") else _not_json(text)


_DECODER = json.JSONDecoder(parse_constant=_not_json, parse_float=_finite)


def _shown(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, (dict, list)) else f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _text(value: Any) -> str | None:
    """Say what is wrong with a text; NUL is for the database's column to deal with."""
    if not isinstance(value, str):
        return "not a text"
    if len(value) >= LARGEST_JSON:
        return f"larger than {LARGEST_JSON >> 20} MiB"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "not valid Unicode, so no database can hold it"
    return None


def _name(value: Any) -> str | None:
    if value == "":
        return "not a name"
    return _text(value) or ("with a NUL character, which not every database can hold" if "\0" in value else None)


def _status(value: Any) -> str | None:
    return None if value in _STATUSES else f"none of {', '.join(_STATUSES)}"


def _whole(lowest: int, highest: int) -> Callable[[Any], str | None]:
    def fault_of(value: Any) -> str | None:
        if type(value) is int and lowest <= value <= highest:
            return None
        return f"not a whole number from {lowest} to {highest}"

    return fault_of


def _json(value: Any) -> str | None:
    if value is None:
        return "not the parameters of a job"
    text = json.dumps(value) if isinstance(value, (dict, list, str)) else ""
    if len(text) > LARGEST_JSON:
        return f"larger than the {LARGEST_JSON >> 20} MiB that clworker reads"
    if len(text) > _SHORT and is_too_deep(value):
        return "nested too deep"
    return None


_TIME = _whole(-LARGEST_WHOLE, LARGEST_WHOLE)
_COUNT = _whole(0, _LARGEST_INTEGER)
_RULES: dict[str, Callable[[Any], str | None]] = {
    "job_id": _name,
    "task_type": _name,
    "status": _status,
    "progress": _whole(0, 100),
    "priority": _whole(-_LARGEST_INTEGER, _LARGEST_INTEGER),
    "params": _json,
    "output": _json,
    "error_message": _text,
    "created_at": _TIME,
    "started_at": _TIME,
    "completed_at": _TIME,
    "updated_at": _TIME,
    "retry_count": _COUNT,
    "max_retries": _COUNT,
    "created_by": _name,
}
