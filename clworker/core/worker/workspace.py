"""What a task gets to see of a job's files, and the way back from there to the real names."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clworker.core.errors import PathRefused
from clworker.core.worker.confinement import open_input, output_target, refuse_folder
from clworker.core.worker.outputs import Staging

_INPUT_FOLDER = ".handed-inputs"


class Workspace:
    """The files of one attempt, inside a slot.

    The task reads each input through a link of the same name that leads to the file which
    was checked, and writes each output into the attempt's folder.
    """

    def __init__(
        self, params: dict[str, Any], input_roots: Sequence[Path], output_roots: Sequence[Path], token: str
    ) -> None:
        """Check every path. Raises PathRefused; nothing is made before ``open``."""
        self._inputs: list[str] = list(params["input_paths"])
        self._fds: list[int] = []
        self._restorations: dict[str, str] = {}
        try:
            for path in self._inputs:
                self._fds.append(open_input(path, input_roots))
            self._targets = [output_target(path, output_roots) for path in params["output_paths"]]
            self._check_targets()
        except PathRefused:
            self._close_inputs()
            raise
        self._staging = Staging(self._targets, output_roots, token)

    @property
    def created(self) -> list[str]:
        """The folders that were made for this job, outermost first."""
        return self._staging.created

    def open(self, older_tokens: Sequence[str]) -> dict[str, list[str]]:
        """Make the attempt's folders and return the paths to hand to the task. Raises PathRefused."""
        staged = self._staging.open(older_tokens)
        for target in self._targets:
            self._restorations[staged[target.path]] = target.path
            self._restorations[os.path.join(self._staging.real_folder(target), target.name)] = target.path
            self._restorations[self._staging.stands_in(target)] = target.folder
            self._restorations[self._staging.real_folder(target)] = target.folder
        links = self._link_inputs()
        return {"input_paths": links, "output_paths": [staged[target.path] for target in self._targets]}

    def restore(self, value: Any) -> Any:
        """Put the real paths back into whatever the task said."""
        if isinstance(value, str):
            return self._restored(value)
        if isinstance(value, dict):
            return {self.restore(key): self.restore(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.restore(inner) for inner in value]
        return value

    def _restored(self, text: str) -> str:
        """Put the real paths into one text. A regular expression of them all takes a millisecond to make."""
        restored, begin = "", 0
        while found := [(at, -len(path), path) for path in self._restorations if (at := _find(path, text, begin)) >= 0]:
            at, _, path = min(found)  # the first, and of those that begin there the longest
            restored += text[begin:at] + self._restorations[path]
            begin = at + len(path)
        return restored + text[begin:]

    def keep(self) -> list[str]:
        """Sync the outputs and leave them for the supervisor; return names of unexpected files.

        Raises PathRefused for an output that the task did not write.
        """
        beside = [name for name in self._staging.sync() if name != _INPUT_FOLDER]
        self._close_inputs()
        self._staging.close()
        return beside

    def discard(self) -> None:
        """Remove everything that the attempt has made."""
        self._close_inputs()
        self._staging.discard()

    def _link_inputs(self) -> list[str]:
        if not os.path.exists(f"/proc/{os.getpid()}/fd"):
            return self._inputs
        base = self._staging.stands_in(self._targets[0])
        real_base = self._staging.real_folder(self._targets[0])
        links = []
        for number, (path, fd) in enumerate(zip(self._inputs, self._fds, strict=True)):
            inner = os.path.join(_INPUT_FOLDER, str(number))
            name = os.path.basename(path)
            opened = f"/proc/{os.getpid()}/fd/{fd}"
            os.makedirs(os.path.join(base, inner))
            os.symlink(opened, os.path.join(base, inner, name))
            links.append(os.path.join(base, inner, name))
            self._restorations[opened] = path
            for folder in (base, real_base):
                self._restorations[os.path.join(folder, inner)] = os.path.dirname(path)
                self._restorations[os.path.join(folder, inner, name)] = path
        return links

    def _check_targets(self) -> None:
        inputs = {(status.st_dev, status.st_ino) for status in map(os.fstat, self._fds)}
        seen: set[tuple[str, str]] = set()
        for target in self._targets:
            refuse_folder(target)
            real = (target.folder, target.name)
            if real in seen:
                raise PathRefused(f"two outputs would go to the same file: {target.path}")
            seen.add(real)
            try:
                status = os.lstat(os.path.join(*real))
            except OSError:
                continue
            if (status.st_dev, status.st_ino) in inputs:
                raise PathRefused(f"output path is also an input: {target.path}")

    def _close_inputs(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


def _find(path: str, text: str, begin: int) -> int:
    """Return where a path stands in a text, or -1. A number must end where it ends: fd/7 is no part of fd/71."""
    at = text.find(path, begin)
    while at >= 0 and path[-1].isdigit() and text[at + len(path) : at + len(path) + 1].isdigit():
        at = text.find(path, at + 1)
    return at
