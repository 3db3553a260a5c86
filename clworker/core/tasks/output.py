"""What plugins print: caught and logged line by line, so that stderr stays log lines only."""

import asyncio
import logging
import os
from typing import Any

_LONGEST_LINE = 4096
_log = logging.getLogger("clworker.tasks")


class OutputTap:
    """A pipe for a child's stdout and stderr, read by the running event loop."""

    def __init__(self, **context: Any) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._rest = b""
        self.context = context
        asyncio.get_running_loop().add_reader(self._read_end, self._on_readable)

    def close_write_end(self) -> None:
        """Let go of the child's end once the child has it."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        """Log what has come until now and stop listening."""
        self.close_write_end()
        if self._read_end >= 0:
            while self._on_readable():
                pass
            self._stop()

    def _on_readable(self) -> bool:
        try:
            data = os.read(self._read_end, 65_536)
        except BlockingIOError:
            return False
        if not data:
            self._stop()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line)
        if len(self._rest) > _LONGEST_LINE:
            self._write(self._rest)
            self._rest = b""
        return True

    def _write(self, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode(errors="replace").rstrip()
        if text:
            _log.info("task output", extra={"line": text, **self.context})

    def _stop(self) -> None:
        if self._read_end < 0:
            return
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
        self._read_end = -1
        self._write(self._rest)
        self._rest = b""
