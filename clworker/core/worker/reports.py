"""What a slot may say to the supervisor.

A slot runs the code of plugins, which can reach its end of the channel: the supervisor
takes no message before it has seen that it is one.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from clworker.core.frames import Message
from clworker.core.records import EVERY_RECORD

Check = Callable[[Any], bool]


def checked(message: Message) -> Message:
    """Return the message as it is. Raises ValueError for one that no slot of ours sends."""
    kind = message.get("type")
    fields = _KINDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise ValueError("it is of no known type")
    for name, is_sound in fields.items():
        if (name not in message and name not in _OPTIONAL) or not is_sound(message.get(name)):
            raise ValueError(f"its field {name!r} is not as it should be")
    return message


def relay(message: Message, context: Mapping[str, Any]) -> None:
    """Log what a task has logged, with the ``context`` of its job."""
    extra = {**message["extra"], **context}
    if message.get("exception"):
        extra["exception"] = message["exception"]
    logging.getLogger(message["logger"]).log(message["level"], message["event"], extra=extra)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_percent(value: Any) -> bool:
    return _is_whole(value) and 0 <= value <= 99


def _is_size(value: Any) -> bool:
    return value is None or (_is_whole(value) and 0 <= value < 1 << 60)


def _is_duration(value: Any) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and 0 <= value < 1 << 60


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_extra(value: Any) -> bool:
    return isinstance(value, dict) and not EVERY_RECORD & value.keys()


def _is_chain(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_failure, value)))


def _is_failure(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("exc_type"))
        and _is_text(value.get("exc_value"))
        and isinstance(value.get("frames"), list)
        and all(isinstance(frame, dict) and {"filename", "lineno", "name"} <= frame.keys() for frame in value["frames"])
    )


def _is_anything(_value: Any) -> bool:
    return True


_OPTIONAL = ("exception",)
_KINDS: dict[str, dict[str, Check]] = {
    "staged": {"created": _is_list_of_texts},
    "progress": {"percent": _is_percent},
    "log": {"logger": _is_text, "level": _is_size, "event": _is_text, "extra": _is_extra, "exception": _is_chain},
    "outcome": {
        "output": _is_anything,
        "error": _is_text_or_none,
        "peak_kib": _is_size,
        "seconds": _is_duration,
        "missing_input": _is_text_or_none,
    },
}
