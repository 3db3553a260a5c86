"""The help texts: nothing without a purpose, examples that can be typed, and the variable of every option."""

import re
import shlex

import click
import pytest

from clworker.cli.invocation import Invocation
from clworker.cli.lazy import LazyGroup
from clworker.core.environment import load_settings
from clworker.core.errors import SettingsError
from tests.support.commands import all_commands

COMMANDS = dict(all_commands())
OPTIONS = [
    (path, option)
    for path, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize("path", COMMANDS)
def test_a_purpose_in_one_line_that_fits(path: str) -> None:
    purpose, *_ = (COMMANDS[path].help or "").splitlines()
    assert purpose.endswith(".") and purpose[0].isupper() and len(purpose) <= 70


@pytest.mark.usefixtures("command")  # which puts logging back in order
@pytest.mark.parametrize("path", COMMANDS)
def test_two_examples_that_parse(path: str) -> None:
    examples = [line.strip() for line in (COMMANDS[path].epilog or "").partition("Examples:")[2].splitlines()]
    examples = [line for line in examples if line]
    assert len(examples) >= 2
    for example in examples:
        command: click.Command = COMMANDS["clworker"]
        program, *args = shlex.split(example)
        assert program == "clworker"
        context = command.make_context("clworker", args, obj=Invocation({}))
        try:
            while isinstance(command, click.Group):
                name, inner, args = command.resolve_command(context, [*context._protected_args, *context.args])
                assert inner is not None
                command, context = inner, inner.make_context(name, list(args), parent=context)
        except click.exceptions.Exit as asked_for_help:
            assert asked_for_help.exit_code == 0
        finally:
            context.close()
        assert isinstance(COMMANDS[path], click.Group) or command is COMMANDS[path]


@pytest.mark.parametrize("path", COMMANDS)
def test_the_layout_fits_a_terminal_of_80_columns(path: str) -> None:
    context = click.Context(COMMANDS[path], info_name=path, terminal_width=80)
    lines = COMMANDS[path].get_help(context).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines.index("  Examples:") > lines.index("Options:")


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=[f"{path} {option.opts[-1]}" for path, option in OPTIONS])
def test_every_option_tells_its_meaning_its_variable_and_its_default(path: str, option: click.Option) -> None:
    assert option.help
    if option.opts in (["--version"], ["-p"]):
        return
    meaning, _, facts = option.help.partition(" [")
    assert meaning.endswith(".") and facts.endswith("]")
    variables, default, *_ = facts.removesuffix("]").split("; ")
    assert default
    expected = variable_of(option) or option.envvar
    assert expected in variables.split(", ")


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=[f"{path} {option.opts[-1]}" for path, option in OPTIONS])
def test_an_option_with_a_unit_names_it(path: str, option: click.Option) -> None:
    unit = {"SECONDS": "second", "MIB": "MiB", "AGE": "2h"}.get(option.metavar or "", "")
    assert unit.lower() in (option.help or "").lower()


def variable_of(option: click.Option) -> str:
    """The variable that stands in for an option, by what the settings say of a value that cannot be right."""
    try:
        load_settings({str(option.name): ",\0#"}, {"CL_SERVER_DIR": "/"})
    except SettingsError as refusal:
        (fault,) = refusal.faults
        match = re.match(r"--(\S+) \((\w+)\): ", fault)
        assert match is not None and f"--{match[1]}" in option.opts
        return match[2]
    return ""


def test_the_settings_know_the_variables_of_options() -> None:
    known = {option.name: variable_of(option) for _, option in OPTIONS}
    assert {name: variable for name, variable in known.items() if variable} == {
        "log_level": "LOG_LEVEL",
        "log_format": "CLWORKER_LOG_FORMAT",
        "worker_id": "WORKER_ID",
        "tasks": "WORKER_SUPPORTED_TASKS",
        "time_limit": "CLWORKER_TIME_LIMIT",
        "memory_limit": "CLWORKER_MEMORY_LIMIT",
        "allow_dir": "CLWORKER_ALLOW_DIR",
        "concurrency": "CLWORKER_CONCURRENCY",
        "poll_interval": "WORKER_POLL_INTERVAL",
        "max_jobs_per_slot": "CLWORKER_MAX_JOBS_PER_SLOT",
        "max_memory_per_slot": "CLWORKER_MAX_MEMORY_PER_SLOT",
        "drain_timeout": "CLWORKER_DRAIN_TIMEOUT",
        "takeover": "CLWORKER_TAKEOVER",
        "skip_missing_inputs": "CLWORKER_SKIP_MISSING_INPUTS",
        "http": "CLWORKER_HTTP",
        "mqtt_user": "CLWORKER_MQTT_USER",
        "mqtt_password_file": "CLWORKER_MQTT_PASSWORD_FILE",
        "mqtt_ca": "CLWORKER_MQTT_CA",
        "mqtt_cert": "CLWORKER_MQTT_CERT",
        "mqtt_key": "CLWORKER_MQTT_KEY",
    }


def test_groups_list_their_commands_with_their_purposes() -> None:
    for path, command in COMMANDS.items():
        if isinstance(command, LazyGroup):
            shown = command.get_help(click.Context(command, info_name=path, terminal_width=120))
            for name, (_, purpose) in command.commands_at.items():
                assert re.search(rf"^  {name} +{re.escape(purpose)}$", shown, re.MULTILINE)
