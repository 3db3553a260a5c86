"""Commands load lazily: ``--help`` and TAB import nothing heavy, and TAB knows every command."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from clworker.cli.lazy import LazyGroup
from clworker.cli.options import STATUSES
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.store.identity import Instance, LockFile, Role
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.commands import all_commands
from tests.support.plugins import PluginFolder
from tests.support.program import Program

COMMANDS = dict(all_commands())
HEAVY = {
    "sqlalchemy",
    "psycopg",
    "paho",
    "PIL",
    "pydantic",
    "cl_ml_tools",
    "structlog",
    "tabulate",
    "prometheus_client",
    "plugin_spy",
}
REPORTING = """
import atexit, sys
atexit.register(lambda: print("\\nIMPORTED", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from clworker.cli import main
main()
"""


def imports(program: Program, *args: str, **environ: str) -> tuple[str, set[str]]:
    """Run the command line; return what it printed and the top-level names of what it imported."""
    done = subprocess.run(
        [sys.executable, "-c", REPORTING, *args],
        env=program.environment(**environ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    *rest, last = done.stderr.splitlines()
    assert rest in ([], [""])
    return done.stdout, set(last.split()[1:])


@pytest.fixture(autouse=True)
def spy(plugins: PluginFolder) -> None:
    plugins.install_task("spy", "return {}")


@pytest.mark.parametrize("path", COMMANDS)
def test_help_imports_nothing_heavy(program: Program, path: str) -> None:
    printed, imported = imports(program, *path.split()[1:], "--help", CL_SERVER_DIR="")
    assert printed.startswith(f"Usage: {path} ")
    assert imported & HEAVY == set()


def test_help_about_a_task_imports_no_plugin(program: Program) -> None:
    printed, imported = imports(program, "jobs", "submit", "image_resize", "--help", CL_SERVER_DIR="")
    assert "--width" in printed
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("clworker ", {"clear-capability", "doctor", "jobs", "list-tasks", "once", "run", "workers"}),
        ("clworker o", {"once"}),
        ("clworker --log-f", {"--log-format"}),
        (
            "clworker jobs ",
            {"cancel", "explain", "export", "import", "list", "purge", "retry", "show", "stats", "submit", "watch"},
        ),
        ("clworker jobs s", {"show", "stats", "submit"}),
        ("clworker jobs --st", {"--status"}),
        ("clworker jobs --status ", {"queued", "processing", "completed", "error"}),
        ("clworker jobs list --format ", {"table", "json", "jsonl", "csv"}),
        ("clworker once --time", {"--time-limit"}),
    ],
)
def test_completion_offers_what_fits_and_imports_nothing_heavy(program: Program, typed: str, offered: set[str]) -> None:
    word = str(len(typed.split(" ")) - 1)
    complete = {"_CLWORKER_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": word}
    printed, imported = imports(program, CL_SERVER_DIR="", **complete)
    assert {line.partition(",")[2] for line in printed.splitlines()} == offered
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("clworker run -t image_resize,", {"image_resize,image_conversion", "image_resize,spy"}),
        ("clworker list-tasks s", {"spy"}),
        ("clworker jobs show ab", {"ab12"}),
        ("clworker jobs list --worker ", {"worker-7"}),
        ("clworker jobs submit spy -p ", {"width="}),
    ],
)
def test_completion_finds_names_without_importing_what_is_heavy(
    program: Program, database: Path, store: Store, typed: str, offered: set[str]
) -> None:
    databases.insert(database, [{"job_id": "ab12", "task_type": "spy", "params": {"width": 8, "input_paths": ["x"]}}])
    store.instances.register(Instance.new("worker-7", Role.RUN, 30.0), LockFile("/x", 1, 1))
    word = str(len(typed.split(" ")) - 1)
    complete = {"_CLWORKER_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": word}
    printed, imported = imports(program, **complete)
    assert {line.partition(",")[2] for line in printed.splitlines()} == offered
    assert imported & HEAVY == set()
    assert "clworker" in imported


def test_the_statuses_that_jobs_can_be_listed_by_are_all() -> None:
    assert set(STATUSES) == set(ComputeJobStatus)


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if isinstance(command, LazyGroup)])
def test_the_table_of_a_group_tells_the_purpose_that_its_commands_tell(path: str) -> None:
    group = COMMANDS[path]
    assert isinstance(group, LazyGroup)
    context = click.Context(group)
    for name, (_, purpose) in group.commands_at.items():
        command = group.get_command(context, name)
        assert command is not None and command.help is not None
        assert command.name == name
        assert command.help.splitlines()[0] == purpose


def test_a_default_is_one_of_the_commands() -> None:
    for command in COMMANDS.values():
        if isinstance(command, LazyGroup) and command.default:
            assert command.default in command.commands_at


def test_the_importing_probe_sees_what_is_imported(program: Program) -> None:
    _, imported = imports(program, "jobs")
    assert {"sqlalchemy", "tabulate"} <= imported
    assert imported & {"psycopg", "paho", "PIL", "pydantic", "cl_ml_tools", "structlog", "plugin_spy"} == set()
