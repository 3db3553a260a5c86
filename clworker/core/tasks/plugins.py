"""The installed plugins, for callers that have no event loop: one discovery, any number of questions."""

import asyncio
import json
from typing import Any

from clworker.core.errors import ParamsRefused
from clworker.core.frames import Message
from clworker.core.tasks.discovery import PluginHost, TaskInfo, discover
from clworker.core.tasks.selection import find_ready_task


class Plugins:
    """What discovery has found, and the child process that answers questions about the ready tasks.

    ``timeout`` is the time in seconds that one plugin may take to import. Use it as a
    context manager, or close it; closing twice is safe. Raises PluginHostFailed.
    """

    def __init__(self, timeout: float) -> None:
        self._runner = asyncio.Runner()
        try:
            found = self._runner.run(discover(lambda: PluginHost("clworker.core.tasks.host"), timeout))
        except BaseException:
            self._runner.close()
            raise
        self.tasks: list[TaskInfo] = found.tasks
        self._host: PluginHost | None = found.host

    def __enter__(self) -> "Plugins":
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def describe(self, task_type: str) -> list[dict[str, Any]]:
        """Return the parameters of one task. Raises TaskUnknown, or UsageFault when it is broken."""
        parameters: list[dict[str, Any]] = self._ask({"type": "describe", "task_type": task_type})["params"]
        return parameters

    def prepare(self, task_type: str, texts: dict[str, str], inputs: int) -> Message:
        """Check the parameters of a job with so many inputs. Raises also ParamsRefused."""
        return self._ask({"type": "prepare", "task_type": task_type, "texts": texts, "inputs": inputs})

    def prepare_values(self, task_type: str, values: dict[str, Any], inputs: int) -> Message:
        """Check parameters that are values already, as ``prepare`` does those that were typed."""
        try:
            json.dumps(values, allow_nan=False)
        except (TypeError, ValueError) as failure:
            raise ParamsRefused(f"params cannot be written as JSON: {failure}") from failure
        return self._ask({"type": "prepare", "task_type": task_type, "values": values, "inputs": inputs})

    def close(self) -> None:
        """End the child process."""
        if self._host is not None:
            host, self._host = self._host, None
            try:
                self._runner.run(host.end())
            finally:
                self._runner.close()

    def _ask(self, question: Message) -> Message:
        find_ready_task(self.tasks, question["task_type"])
        if self._host is None:
            raise ValueError("the plugins are closed")
        return self._runner.run(self._host.ask(question))
