"""Jobs as other programs could insert them, good and bad, and how each must end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import databases
from tests.support.program import Drained, Program

SIZE = {"width": 64, "height": 48}


@dataclass(frozen=True)
class Case:
    """One job: paths and message with ``{media}``, ``{compute}`` and ``{outside}`` for the folders.

    ``error`` None means that the job completes; one that ends in ``…`` is only a beginning.
    """

    name: str
    error: str | None
    inputs: list[str] = field(default_factory=lambda: ["{media}/photo.jpg"])
    outputs: list[str] = field(default_factory=lambda: ["{compute}/out/picture.jpg"])
    params: Mapping[str, Any] = field(default_factory=dict)
    task_type: str = "image_resize"
    whole_params: Any = None


class Yard:
    """A server folder, a folder outside it, and what became of the cases in them."""

    def __init__(self, base: Path) -> None:
        self.server = base / "server"
        self.media, self.compute, self.outside = self.server / "media", self.server / "compute", base / "outside"
        for folder in (self.media, self.compute, self.outside):
            folder.mkdir(parents=True)
        self.drained = Drained([], [])

    def run(self, cases: Sequence[Case]) -> None:
        """Queue the cases in a fresh database and run them in one worker without root's powers."""
        database = self.server / "media_store.db"
        databases.create(database, "current")
        databases.insert(database, [self._row(number, case) for number, case in enumerate(cases)])
        self.drained = Program(self.server).without_root_powers().drain()

    def fill_in(self, text: str) -> str:
        """Put the folders' paths into a text of a case."""
        folders = {"media": self.media, "compute": self.compute, "outside": self.outside}
        return text.format(**folders) if "{" in text else text

    def check_refused(self, case: Case) -> None:
        """Fail unless the job has ended at once, with the case's message."""
        assert case.error is not None
        job = self.drained.job(case.name)
        assert (job["status"], job["retry_count"], job["output"]) == ("error", 0, None)
        expected, message = self.fill_in(case.error), job["error_message"]
        assert message.startswith(expected[:-1]) if expected.endswith("…") else message == expected

    def check_messages_are_plain(self) -> None:
        """Fail unless every message is one line without what is only for programmers."""
        for job in self.drained.attempts:
            message = job["error_message"] or "-"
            assert message.splitlines() == [message]
            ours = [word for word in ("http", "/proc/", ".clworker", "Traceback", "[Errno") if word in message]
            assert not [word for word in ours if word not in str(job["params"])]

    def _row(self, number: int, case: Case) -> dict[str, Any]:
        paths = {
            "input_paths": [self.fill_in(path) for path in case.inputs],
            "output_paths": [self.fill_in(path) for path in case.outputs],
        }
        size = SIZE if case.task_type == "image_resize" else {}
        params = {**size, **paths, **case.params} if case.whole_params is None else case.whole_params
        return {"job_id": case.name, "task_type": case.task_type, "params": params, "created_at": number}
