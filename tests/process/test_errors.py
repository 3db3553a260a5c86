"""Failures of the command line: one plain ``Error:`` line each, the promised exit code, never a traceback."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from clworker.core.app import queries
from clworker.core.errors import BrokerUnavailable, SettingsError
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder
from tests.support.program import PROGRAM, Program

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["Missing command; commands: ", "jobs, list-tasks", "'clworker --help'"]),
        (["--log-level", "INFO"], ["Missing command", "'clworker --help'"]),
        (["job"], ["no such command 'job'", "did you mean 'jobs'?", "'clworker --help'"]),
        (["jobs", "sumbit"], ["no such command 'sumbit'", "did you mean 'submit'?", "'clworker jobs --help'"]),
        (["submit", "image_resize"], ["no such command 'submit'; did you mean 'clworker jobs submit'?"]),
        (["jobs", "workers"], ["no such command 'workers'; did you mean 'clworker workers'?; see 'clworker jobs"]),
        (["jobs", "--json"], ["No such option '--json'; see 'clworker jobs list --help'"]),
        (["xyz"], ["no such command 'xyz'", "jobs, list-tasks, once"]),
        (["jobs", "--statu", "error"], ["--statu", "--status", "'clworker jobs list --help'"]),
        (["once", "--nonsense"], ["--nonsense", "'clworker once --help'"]),
        (["run", "--helpp"], ["'--helpp'; did you mean '--help'?; see 'clworker run --help'"]),
        (["jobs", "--log-level", "DEBUG"], ["it comes before the command: 'clworker --log-level … jobs list'"]),
        (["run", "--version"], ["it comes before the command: 'clworker --version … run'"]),
        (["--strict", "list-tasks"], ["it comes after its command: 'clworker list-tasks --strict'"]),
        (["--status", "error"], ["it comes after its command: ", "'clworker jobs list --status'"]),
        (["jobs", "--wait", "submit"], ["it comes after its command: 'clworker jobs submit --wait'"]),
        (["help", "sumbit"], ["no such command 'sumbit'"]),
        (["list-tasks", "image_rezise"], ["did you mean 'image_resize'?"]),
        (["jobs", "--status", "done"], ["'done'", "completed"]),
        (["jobs", "--since", "yesterday"], ["'yesterday'", "2h"]),
        (["jobs", "--limit", "0"], ["--limit"]),
        (["jobs", "-f", "xml"], ["'xml'", "jsonl"]),
        (["jobs", "show"], ["ID"]),
        (["jobs", "show", "a", "b"], ["b"]),
        (["jobs", "show", "nothing"], ["no job has the id 'nothing'"]),
        (["once", "-w", "a b"], ["--worker-id (WORKER_ID)", "'a b'"]),
        (["--log-level", "LOUD", "jobs"], ["--log-level (LOG_LEVEL)", "'LOUD'", "WARNING"]),
        (["--log-format", "xml", "list-tasks"], ["--log-format (CLWORKER_LOG_FORMAT)", "'xml'"]),
    ],
)
def test_usage_errors(command: InProcess, args: list[str], words: list[str]) -> None:
    (error,) = command.refused(2, *args)
    for word in words:
        assert word in error


@pytest.mark.parametrize("args", [["help"], ["help", "jobs"], ["jobs", "help"], ["help", "jobs", "submit"]])
def test_help_is_a_command_too(command: InProcess, args: list[str]) -> None:
    path = [word for word in args if word != "help"]
    assert command.ok(*args).stdout == command.ok(*path, "--help").stdout != ""


def test_a_wrong_variable_is_named_and_no_option(command: InProcess) -> None:
    (error,) = command.refused(2, "jobs", CLWORKER_SINCE="2x")
    assert error.startswith("Invalid value for the variable CLWORKER_SINCE: '2x' is not an age such as 90s")
    (error,) = command.refused(2, "jobs", "--since", "3x", CLWORKER_SINCE="2x")
    assert error.startswith("Invalid value for '--since': '3x' is not an age")


def test_an_empty_list_says_which_name_may_have_been_meant(command: InProcess, database: Path) -> None:
    databases.create(database, "current")
    databases.insert(database, [{"task_type": "image_resize"}, {"job_id": "b", "task_type": b"image_resize"}])
    for task_type, hint in (("image_resise", "did you mean 'image_resize'?"), ("audio", None)):
        result = command.ok("jobs", "--task", task_type, "-f", "json")
        assert result.json == []
        assert [line["hint"] for line in result.log] == ([hint] if hint else [])


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (BrokerUnavailable("no broker"), 69),
        (SettingsError(["first", "second"]), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes_of_failures(
    command: InProcess, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(queries, "list_jobs", fail)
    result = command.run("jobs")
    assert (result.code, result.stdout) == (code, "")
    expected = failure.faults if isinstance(failure, SettingsError) else [str(failure) or "interrupted"]
    assert result.errors == list(expected)


def test_all_faults_of_settings_at_once(command: InProcess) -> None:
    errors = command.refused(
        2,
        *("once", "--time-limit", "soon", "--allow-dir", "/no/such/folder"),
        CL_SERVER_DIR="/dev/null",
        DATABASE_URL=f"mysql://cl:{SECRET}@db/media",
        WORKER_POLL_INTERVAL="-1",
        MQTT_PORT="70000",
        MQTT_TOPIC="jobs/#",
        BROADCAST_TYPE="smoke",
        LOG_LEVEL="LOUD",
        CLWORKER_MEMORY_LIMIT="1e3",
    )
    faults = {error.partition(":")[0]: error for error in errors}
    assert set(faults) == {
        *("CL_SERVER_DIR", "DATABASE_URL", "WORKER_POLL_INTERVAL", "MQTT_PORT", "MQTT_TOPIC", "BROADCAST_TYPE"),
        *("LOG_LEVEL", "CLWORKER_MEMORY_LIMIT", "--time-limit (CLWORKER_TIME_LIMIT)"),
        "--allow-dir (CLWORKER_ALLOW_DIR)",
    }
    values = ["/dev/null", "mysql://cl:***@db/media", "-1", "70000", "jobs/#", "smoke", "LOUD", "1e3", "soon"]
    for value in values:
        assert any(f"'{value}'" in error for error in errors)
    assert SECRET not in "".join(errors)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://cl:{SECRET}@db",
        f"postgresql+psycopg://cl:{SECRET}'s word@db/media",
        f"mysql://cl:my {SECRET}@db",
        f"cl:{SECRET}@db/media",
        f"postgresql:/cl:{SECRET}@db",
        f"sqlite://cl:{SECRET}@/file.db",
        f"postgresql://db?user=cl&password={SECRET}",
    ],
)
def test_a_password_in_the_database_url_is_never_printed(command: InProcess, url: str) -> None:
    (error,) = command.refused(2, "jobs", DATABASE_URL=url)
    assert error.startswith("DATABASE_URL: ") and "***" in error
    assert SECRET not in error


def test_no_data_folder_is_named(command: InProcess) -> None:
    for unset in (None, ""):
        (error,) = command.refused(2, "jobs", CL_SERVER_DIR=unset)
        assert error.startswith("CL_SERVER_DIR is not set")
    assert command.ok("list-tasks", "-f", "json", CL_SERVER_DIR=None).json


def test_a_data_folder_is_made_with_the_folders_above_it(command: InProcess, tmp_path: Path) -> None:
    folder = tmp_path / "new/what? 100%20#é"
    command.ok("jobs", CL_SERVER_DIR=str(folder))
    assert (folder / "media_store.db").is_file()
    assert [path.name for path in tmp_path.joinpath("new").iterdir()] == [folder.name]


def test_a_data_folder_that_cannot_be_used(program: Program, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "read-only").mkdir(mode=0o555)
    (tmp_path / "closed").mkdir(mode=0)
    user = program.without_root_powers()
    for folder, words in {
        "file": "is not a folder",
        "file/below": "Not a directory",
        "read-only": "is not writable",
        "read-only/below": "Permission denied",
        "closed/below": "Permission denied",
        "x" * 300: "File name too long",
    }.items():
        result = user.run("jobs", CL_SERVER_DIR=str(tmp_path / folder))
        assert (result.code, result.stdout) == (2, ""), folder
        assert result.stderr.count("\n") == 1
        assert result.errors[0].startswith("CL_SERVER_DIR: ") and words in result.errors[0]


def test_a_database_that_cannot_be_used(
    command: InProcess, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.write_text("this is a letter, not a database " * 100)
    assert "no SQLite database" in command.refused(69, "jobs")[0]
    assert "cannot be opened" in command.refused(69, "jobs", DATABASE_URL=f"sqlite:///{tmp_path}/no/folder.db")[0]
    database.unlink()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, name TEXT)")
    (error,) = command.refused(2, "jobs")
    assert "missing columns" in error and "task_type" in error
    database.unlink()
    monkeypatch.setattr(Store.__init__, "__defaults__", (0.05, None))
    databases.create(database, "current")
    with databases.locked(database):
        assert "locked by another program" in command.refused(69, "jobs")[0]


def test_a_broken_task_and_strictness(command: InProcess, plugins: PluginFolder) -> None:
    plugins.install("broken", "raise RuntimeError('no \\x1b[31mGPU')", {"heavy": "Task"})
    assert command.run("list-tasks").code == 0
    assert command.run("list-tasks", "--strict").code == 1
    (error,) = command.refused(2, "list-tasks", "heavy")
    assert "heavy" in error and "broken" in error and r"no \x1b[31mGPU" in error


def test_an_internal_error_is_told_in_the_log(command: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        password = SECRET
        raise ZeroDivisionError(f"mysql://u:{password}@h")

    monkeypatch.setattr(queries, "list_jobs", fail)
    result = command.run("jobs")
    assert (result.code, result.stdout) == (70, "")
    (line,) = result.log
    assert (line["level"], line["event"]) == ("error", "internal error")
    assert line["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert line["exception"][0]["frames"][-1]["name"] == "fail"
    assert result.errors == ["internal error: ZeroDivisionError: mysql://u:***@h; the log above has the traceback"]
    assert SECRET not in result.stderr


def test_an_internal_error_before_the_settings_are_known(program: Program, plugins: PluginFolder) -> None:
    (plugins.path / "sitecustomize.py").write_text("from clworker.core import parsing\nparsing.folder = None\n")
    result = program.run("jobs")
    assert (result.code, result.stdout, len(result.errors)) == (70, "", 1)
    assert [line["event"] for line in result.log] == ["internal error"]
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_stdout_that_cannot_be_written_to_is_no_success(program: Program) -> None:
    filling = ["sh", "-c", f"exec {PROGRAM} jobs -f json >/dev/full"]
    done = subprocess.run(filling, env=program.environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 70
    assert done.stderr.splitlines()[-1].startswith("Error: ") and "No space left on device" in done.stderr
