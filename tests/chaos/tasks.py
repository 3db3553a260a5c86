"""The plugin that a chaos run installs: this file's own text becomes its module."""

import asyncio
import hashlib
import os
import secrets
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl_ml_tools import BaseJobParams, ComputeModule, Job

_CHUNKS = 4


class ChaosParams(BaseJobParams):
    """What the job is to do, for how long, and a folder where it may remember what it did before."""

    kind: str
    seconds: float
    marks: str


class Chaos(ComputeModule):
    """Writes its output in pieces over some time; some kinds fail, crash or start processes."""

    task_type = "chaos"

    def get_schema(self) -> type[ChaosParams]:
        """Return the schema of the parameters."""
        return ChaosParams

    async def execute(
        self, job: Job, params: BaseJobParams, progress_callback: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Do what the kind says. The output tells by which attempt it was written."""
        assert isinstance(params, ChaosParams)
        nonce = secrets.token_hex(8)
        text = content(job.job_id, nonce)
        with Path(params.output_paths[0]).open("w") as file:
            for number in range(_CHUNKS):
                file.write(text[len(text) * number // _CHUNKS : len(text) * (number + 1) // _CHUNKS])
                file.flush()
                await asyncio.sleep(params.seconds / _CHUNKS)
                if progress_callback is not None:
                    progress_callback(100 * number // _CHUNKS)
                if number == _CHUNKS // 2:
                    _misbehave(params.kind, Path(params.marks, job.job_id))
        if params.kind == "fail":
            return {"status": "error", "error": "failed as planned"}
        return {"status": "ok", "task_output": {"nonce": nonce}}


def content(job_id: str, nonce: str) -> str:
    """Return the whole output of the attempt that drew this nonce."""
    lines = (hashlib.sha256(f"{nonce} {number}".encode()).hexdigest() for number in range(1000))
    return "\n".join([job_id, nonce, *lines, "end\n"])


def _misbehave(kind: str, mark: Path) -> None:
    match kind:
        case "raise":
            raise RuntimeError("raised as planned")
        case "exit":
            os._exit(7)
        case "crash-once" if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        case "spawn":
            subprocess.Popen(["sleep", "600"])
            subprocess.Popen(["sleep", "600"], start_new_session=True)
