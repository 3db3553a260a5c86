"""Settings and arguments of every kind: used, or refused in one plain line each, and no traceback."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clworker.core.environment import load_broker_settings, load_settings, load_task_settings
from clworker.core.errors import SettingsError
from tests.property.test_settings import OPTIONS, RIGHT, WRONG
from tests.support import databases
from tests.support.broker import free_port
from tests.support.hostile import argument, assert_safe, fuzzed, json_texts, one_of_named, strict_json
from tests.support.in_process import InProcess

_OWN = ("MQTT_USER", "MQTT_PASSWORD", "MQTT_PASSWORD_FILE", "MQTT_CA", "MQTT_CERT", "MQTT_KEY")
_VARIABLES = sorted({*RIGHT, *WRONG, *(f"CLWORKER_{name}" for name in _OWN), "NOTIFY_SOCKET", "WATCHDOG_USEC"})
_NUMBERS = st.integers().map(str) | st.floats().map(repr) | st.sampled_from(["-0", "1_0", "٣"])
_WRONG = {repr(text)[:20]: text.replace("\0", "") for texts in WRONG.values() for text in texts}
_values = argument | _NUMBERS | one_of_named(_WRONG)


@fuzzed
@given(
    environ=st.dictionaries(st.sampled_from(_VARIABLES), _values, max_size=6),
    options=st.dictionaries(st.sampled_from(sorted(OPTIONS.values())), _values, max_size=3),
    folder=argument.map(lambda text: text.replace("/", "").replace("..", "")),
)
def test_settings_are_used_or_every_fault_is_a_line(
    tmp_path: Path, environ: dict[str, str], options: dict[str, str], folder: str
) -> None:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    whole = {"CL_SERVER_DIR": f"{home}/{folder}", **environ}
    for load in (load_settings, load_broker_settings, load_task_settings):
        try:
            assert load(options, whole)
        except SettingsError as failure:
            for fault in failure.faults:
                assert len(fault.splitlines()) == 1
                assert ": " in fault or " is not set" in fault
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


_WORDS = [
    *("jobs", "list", "show", "submit", "workers", "clear-capability", "--help", "--version", "--", "-"),
    *(
        "-f",
        "json",
        "jsonl",
        "csv",
        "table",
        "--status",
        "error",
        "--task",
        "--since",
        "2h",
        "--worker",
        "--limit",
        "5",
    ),
    *("-p", "width=5", "--output-dir", "--priority", "--wait", "--stale", "--force", "--log-level", "debug"),
    *("--log-format", "console", "--mqtt-user", "--mqtt-ca", "/dev/null", "job-0", "image_resize"),
]
_commands = st.sampled_from(
    [
        ["jobs"],
        ["jobs", "list"],
        ["jobs", "show"],
        ["jobs", "submit", "image_resize", "/no/such/file"],
        ["workers"],
        ["clear-capability"],
        [],
    ]
)


@pytest.fixture
def commands(command: InProcess, database: Path) -> InProcess:
    """The command line over some jobs, and no broker."""
    databases.create(database, "current")
    databases.insert(database, [{"job_id": "job-0"}, {"job_id": "../..", "error_message": "\x1b[31m"}])
    return command


@fuzzed
@given(start=_commands, rest=st.lists(st.sampled_from(_WORDS) | argument | _NUMBERS | json_texts, max_size=5))
def test_arguments_are_understood_or_refused_in_a_line(commands: InProcess, start: list[str], rest: list[str]) -> None:
    args = [text.replace("\0", "") for text in [*start, *rest]]
    result = commands.run(*args, MQTT_BROKER="127.0.0.1", MQTT_PORT=str(free_port()))
    assert result.code in (0, 1, 2, 69), result
    assert_safe(result.stdout)
    assert_safe(result.stderr)
    if result.code:
        assert result.errors and len(result.errors) == len(result.stderr.splitlines()), result
    elif result.stdout.startswith("["):
        assert isinstance(strict_json(result.stdout), list)
