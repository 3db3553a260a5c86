"""Log lines on stderr: one form for clworker, for every library and for what a task says."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clworker.core.store.store import Store
from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.terminal import Terminal

SECRET = "hunter2"
TALKATIVE = f"""
import logging, sys, warnings
from PIL import Image
log = logging.getLogger("library.part")
own = logging.StreamHandler(sys.stdout)
own.setFormatter(logging.Formatter("own %(asctime)s %(message)s"))
log.addHandler(own)
log.warning("a %s line", "formatted", extra={{"size": 3, "path": Path("/x")}})
log.error("spoof", extra={{"event": "E", "level": "L", "timestamp": "T", "job_id": "J", "worker_id": "W"}})
log.info("%d files", "no number")
log.debug("details")
log.info("mysql://u:{SECRET}@host/db")
warnings.warn("use the new one")
Image.MAX_IMAGE_PIXELS = 1000
Image.open(params.picture).close()
print("\\x1b[31mprinted")
print("to stderr", file=sys.stderr)
password = "{SECRET}"
try:
    {{}}["inner"]
except KeyError as failure:
    raise ValueError("outer \\x1b[31m") from failure
"""
SCHEMA = """
class Params(BaseModel):
    picture: str
"""


@pytest.fixture
def talkative(plugins: PluginFolder, store: Store, database: Path, tmp_path: Path) -> str:
    """A queued job whose task logs, warns, prints and raises in every way; its id."""
    plugins.install_task("talkative", TALKATIVE, schema="Params", header=SCHEMA)
    params = {"picture": str(photo(tmp_path / "large.png", (40, 40)))}
    databases.insert(database, [{"job_id": "talk-1", "task_type": "talkative", "params": params}])
    return "talk-1"


def test_json_lines(program: Program, talkative: str) -> None:
    started = datetime.now(UTC)
    result = program.run("once", "-w", "worker-7", LOG_LEVEL="debug")
    assert result.code == 1
    lines = result.log
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])
        assert abs(datetime.fromisoformat(line["timestamp"]) - started) < timedelta(minutes=2)
        assert line["level"] in ("debug", "info", "warning", "error")
        assert line["event"]
    of_the_job = lines[[line["event"] for line in lines].index("job started") :]
    bound = {"worker_id": "worker-7", "job_id": talkative, "task_type": "talkative"}
    for line in of_the_job:
        assert line | bound == line
    by_event = {line["event"]: line for line in lines}
    assert by_event["a formatted line"].items() >= {"level": "warning", "size": 3, "path": "PosixPath('/x')"}.items()
    assert by_event["spoof"]["level"] == "error"
    assert by_event["%d files ('no number',)"]["level"] == "info"
    assert by_event["details"]["level"] == "debug"
    assert by_event["mysql://u:***@host/db"]
    assert any("UserWarning: use the new one" in line["event"] for line in of_the_job)
    assert any("DecompressionBombWarning" in line["event"] for line in of_the_job)
    assert any("STREAM b'IHDR'" in line["event"] for line in of_the_job)
    assert any(line.get("level") == "warning" and line["event"] == "job failed" for line in of_the_job)
    printed = [line["line"] for line in of_the_job if line["event"] == "task output"]
    assert {"\x1b[31mprinted", "to stderr"} <= set(printed)
    assert any(re.fullmatch(r"own .* a formatted line", line) for line in printed)


def test_exceptions_are_structured_and_without_local_variables(command: InProcess, talkative: str) -> None:
    result = command.run("once")
    (line,) = [line for line in result.log if "exception" in line]
    outer, inner = line["exception"]
    assert (outer["exc_type"], outer["exc_value"], outer["is_cause"]) == ("ValueError", "outer \x1b[31m", False)
    assert (inner["exc_type"], inner["exc_value"], inner["is_cause"]) == ("KeyError", "'inner'", True)
    assert outer["frames"][-1]["filename"].endswith("plugin_talkative.py")
    assert outer["frames"][-1]["name"] == "execute" and outer["frames"][-1]["lineno"] > 1
    assert SECRET not in result.stderr + result.stdout
    assert "details" not in [line["event"] for line in result.log]


def test_console_lines(program: Program, talkative: str) -> None:
    result = program.run("--log-format", "console", "--log-level", "WARNING", "once", LOG_LEVEL="debug")
    assert result.code == 1
    assert re.search(rf"^\S+Z \[warning *\] a formatted line .*job_id={talkative}", result.stderr, re.MULTILINE)
    assert re.search(r"\[error *\] the task raised an exception", result.stderr)
    assert re.search(r"^ValueError: outer \\x1b\[31m\n  \S+:\d+ in execute", result.stderr, re.MULTILINE)
    assert re.search(r"^KeyError: 'inner'\n", result.stderr, re.MULTILINE)
    assert "[info" not in result.stderr and "--- Logging error ---" not in result.stderr
    assert SECRET not in result.stderr
    assert all(character.isprintable() or character == "\n" for character in result.stderr)


@pytest.mark.parametrize(("no_colour", "coloured"), [(None, True), ("", True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(
    program: Program, plugins: PluginFolder, no_colour: str | None, coloured: bool
) -> None:
    plugins.install("noisy", "print('\\x1b[31mon import')\nTask = 1", {"noisy": "Task"})
    args = ("--log-format", "console", "list-tasks", "-f", "json")
    with Terminal(program, *args, piped=True, NO_COLOR=no_colour) as terminal:
        code, stdout = terminal.end()
    assert code == 0 and stdout.startswith("[")
    assert r"\x1b[31mon import" in terminal.text
    assert ("\x1b[" in terminal.text) is coloured


def test_what_goes_well_says_nothing_but_events(command: InProcess, picture: Path) -> None:
    for _ in range(2):
        assert command.ok("jobs", "submit", "image_conversion", picture, "-p", "format=png").stderr == ""
    assert command.ok("once", LOG_LEVEL="WARNING").stderr == ""
    events = [line["event"] for line in command.ok("once").log]
    assert events == ["job started", "job completed"]
