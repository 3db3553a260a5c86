"""The page: one document, with its style and script inside, that a browser may run no other script in."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Any

from clworker.core.printable import printable
from clworker.core.times import as_age, as_time
from clworker.core.web.messages import Response

_PLACE = re.compile(r"\{\{(\w+)\}\}")


class Page:
    """The document, made once but for what it says to a browser without scripts."""

    def __init__(self, worker_id: str, version: str, host: str) -> None:
        style, script = _file("page.css"), _file("page.js")
        self._policy = "; ".join(
            (
                "default-src 'none'",
                f"script-src {_fingerprint(script)}",
                f"style-src {_fingerprint(style)}",
                "connect-src 'self'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "require-trusted-types-for 'script'",
                "trusted-types 'none'",
            )
        )
        self._parts = {"style": style, "script": script} | {
            name: escape(printable(text))
            for name, text in (("worker", worker_id), ("version", version), ("host", host))
        }
        self._document = _file("page.html")

    def rendered(self, state: dict[str, Any]) -> Response:
        """Return the page; ``state`` is what it says where no script can ask for it."""
        parts = self._parts | {"plain": _plain(state)}
        # In one go: what is put in is not looked at again.
        document = _PLACE.sub(lambda place: parts[place[1]], self._document)
        headers = {"Content-Security-Policy": self._policy}
        return Response(document.encode(errors="replace"), "text/html; charset=utf-8", headers=headers)


def _plain(state: dict[str, Any]) -> str:
    """Return the state as tables."""
    slots = [
        (number, f"{job['task_type']} {job['job_id']}", f"{job['progress']} %", _age(job["seconds"]), memory)
        if job
        else (number, "idle", "", "", memory)
        for number, (job, memory) in enumerate(
            (slot["job"], _mebibytes(slot["memory_bytes"])) for slot in state["slots"]
        )
    ]
    queue = [
        (task["task_type"], task["queued"], _age(task["oldest_seconds"]), task["running"])
        for task in state["queue"] or ()
    ]
    failures = [
        (
            (as_time(failure["ended_at"]) or "").replace("T", " "),
            f"{failure['task_type']} {failure['job_id']}",
            failure["message"],
        )
        for failure in state["failures"]
    ]
    broker = state["broker"]
    mqtt = "not used" if broker is None else "connected" if broker["connected"] else f"away: {broker['reason'] or ''}"
    return "\n".join(
        [
            f"<p>{escape('Takes jobs.' if state['ready'] else '; '.join(state['hindrances']))}</p>",
            f"<p>MQTT: {escape(mqtt)}</p>",
            _table("slots", "Slots of this worker", ("Slot", "Job", "Progress", "For", "Memory"), slots),
            _table("queue", "Queue of all workers", ("Task", "Waiting", "Oldest", "Running"), queue),
            _table("failures", "Recent failures", ("Ended", "Job", "Message"), failures),
        ]
    )


def _table(kind: str, caption: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(f"<tr>{''.join(f'<td><bdi>{escape(str(cell))}</bdi></td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<table class="{kind}"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size >> 20} MiB"


def _age(seconds: float | None) -> str:
    return "" if seconds is None else as_age(round(seconds * 1000))


def _file(name: str) -> str:
    return resources.files("clworker.core.web").joinpath("static", name).read_text(encoding="utf-8")


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
