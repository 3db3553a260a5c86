"""The container file, as far as it can be checked without a builder."""

import json
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

from tests.support.in_process import InProcess

FILE = Path(__file__).parents[2] / "examples" / "container" / "Containerfile"
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its words, continued lines joined."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [(name, rest.strip()) for name, _, rest in pairs]


def test_it_has_instructions_that_there_are_and_shell_that_parses() -> None:
    assert {name for name, _ in instructions()} == KNOWN
    for name, rest in instructions():
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True, capture_output=True, timeout=10)
        elif name in ("ENTRYPOINT", "CMD"):
            assert all(isinstance(word, str) for word in json.loads(rest))


def test_what_it_starts_is_a_command_of_ours_and_not_as_root(command: InProcess) -> None:
    last = dict(instructions())
    assert last["USER"] not in ("root", "0")
    (program,), args = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    assert program == "clworker"
    assert command.ok(*args, "--help").stdout.startswith("Usage: clworker run")


def test_the_commands_at_its_top_name_this_file_and_variables_of_ours() -> None:
    build, run = (shlex.split(line) for line in re.findall(r"^#   (podman .*)$", FILE.read_text(), re.MULTILINE))
    assert FILE.parents[2] / build[build.index("-f") + 1] == FILE
    variables = [word.partition("=")[0] for before, word in pairwise(run) if before == "-e"]
    assert variables == ["WORKER_ID", "MQTT_BROKER"]
