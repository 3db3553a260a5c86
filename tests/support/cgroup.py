"""A control group with little memory, in which the kernel's out-of-memory killer strikes on demand."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION_1, _VERSION_2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@contextmanager
def little_memory(mebibytes: int) -> Iterator[tuple[str, ...]]:
    """Give the prefix of a command that is to run in such a group. Skips the test where none can be made."""
    version_1 = _VERSION_1.is_dir()
    group = (_VERSION_1 if version_1 else _VERSION_2) / f"clworker-test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
        limit = group / ("memory.limit_in_bytes" if version_1 else "memory.max")
        limit.write_text(str(mebibytes << 20))
    except OSError as refusal:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group can be made here: {refusal}")
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    finally:
        os.rmdir(group)
