"""Settings: every fault at once, each with its variable and value, and never a password."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clworker.core.environment import load_settings, load_task_settings
from clworker.core.errors import SettingsError
from clworker.core.settings import Settings
from clworker.core.store.opening import open_database
from tests.support.program import Program

WRONG: Mapping[str, list[str]] = {
    "DATABASE_URL": ["mysql://db/media", "media.db", "sqlite://", "sqlite:///:memory:", "postgresql://cl@db"],
    "COMPUTE_STORAGE_DIR": ["/dev/null", "a\0b", "/" + "x" * 300],
    "MEDIA_STORAGE_DIR": ["/dev/null", "/" + "x" * 5000],
    "CLWORKER_ALLOW_DIR": ["/no/such/folder", "/tmp:/no/such/folder", "/dev/null"],
    "WORKER_ID": ["a b", "a/b", "x" * 65, "é", "#"],
    "WORKER_SUPPORTED_TASKS": [",", "a,,b", " "],
    "WORKER_POLL_INTERVAL": ["soon", "0", "-1", "nan", "inf", "1e9"],
    "CLWORKER_TIME_LIMIT": ["0", "1h", "-0.5"],
    "CLWORKER_MEMORY_LIMIT": ["0", "1.5", "1_000", " 5", "٣", "9" * 30],
    "BROADCAST_TYPE": ["MQTT", "amqp"],
    "MQTT_BROKER": ["mqtt://broker", "a b", "broker/", "a..b", "x" * 64],
    "MQTT_PORT": ["0", "65536", "mqtt", "1.0", "-1"],
    "MQTT_TOPIC": ["a/#", "+", "/a", "a/", "x" * 1025, "a\x1bb", "caf\udce9"],
    "CAPABILITY_TOPIC_PREFIX": ["a/+/b", "a/"],
    "MQTT_HEARTBEAT_INTERVAL": ["never", "0"],
    "CLWORKER_PLUGIN_TIMEOUT": ["0", "ages"],
    "LOG_LEVEL": ["LOUD", "WARN"],
    "CLWORKER_LOG_FORMAT": ["xml", "JSON"],
}
RIGHT: Mapping[str, tuple[str, str, Any]] = {
    # variable: (text, field of Settings, value)
    "DATABASE_URL": ("sqlite+aiosqlite:////data/x.db", "database_url", "sqlite:////data/x.db"),
    "COMPUTE_STORAGE_DIR": ("/no/such/compute", "storage_dir", Path("/no/such/compute")),
    "MEDIA_STORAGE_DIR": ("/no/such/../media", "media_dir", Path("/no/media")),
    "CLWORKER_ALLOW_DIR": ("/usr:/tmp", "allow_dirs", (Path("/usr"), Path("/tmp"))),
    "WORKER_ID": ("worker-1.a_b", "worker_id", "worker-1.a_b"),
    "WORKER_SUPPORTED_TASKS": ("b, a,b", "tasks", ("b", "a")),
    "WORKER_POLL_INTERVAL": ("0.25", "poll_interval", 0.25),
    "CLWORKER_TIME_LIMIT": ("90", "time_limit", 90.0),
    "CLWORKER_MEMORY_LIMIT": ("512", "memory_limit_mib", 512),
    "BROADCAST_TYPE": ("noop", "broadcast_type", "noop"),
    "MQTT_BROKER": ("::1", "mqtt_host", "::1"),
    "MQTT_PORT": ("8883", "mqtt_port", 8883),
    "MQTT_TOPIC": ("inference/événements", "mqtt_topic", "inference/événements"),
    "CAPABILITY_TOPIC_PREFIX": ("a/b", "capability_topic_prefix", "a/b"),
    "MQTT_HEARTBEAT_INTERVAL": ("1e1", "heartbeat_interval", 10.0),
    "CLWORKER_PLUGIN_TIMEOUT": ("5", "plugin_timeout", 5.0),
    "LOG_LEVEL": ("debug", "log_level", "DEBUG"),
    "CLWORKER_LOG_FORMAT": ("console", "log_format", "console"),
}
OPTIONS = {
    "WORKER_ID": "worker_id",
    "WORKER_SUPPORTED_TASKS": "tasks",
    "WORKER_POLL_INTERVAL": "poll_interval",
    "CLWORKER_TIME_LIMIT": "time_limit",
    "CLWORKER_MEMORY_LIMIT": "memory_limit",
    "CLWORKER_ALLOW_DIR": "allow_dir",
    "LOG_LEVEL": "log_level",
    "CLWORKER_LOG_FORMAT": "log_format",
}
one_folder_for_all = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def load(folder: Path, environ: Mapping[str, str], **options: str) -> Settings:
    return load_settings(options, {"CL_SERVER_DIR": str(folder), **environ})


def faults_of(folder: Path, environ: Mapping[str, str], **options: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as failure:
        load(folder, environ, **options)
    return failure.value.faults


wrong_values = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in WRONG.items()})
rightly_set = st.sets(st.sampled_from(sorted(RIGHT)))


@one_folder_for_all
@given(wrong=wrong_values, right=rightly_set)
def test_every_fault_is_reported_at_once_with_its_value(tmp_path: Path, wrong: dict[str, str], right: set[str]) -> None:
    environ = {name: RIGHT[name][0] for name in right} | wrong
    if wrong:
        faults = faults_of(tmp_path, environ)
        assert sorted(fault.partition(":")[0] for fault in faults) == sorted(wrong)
        for fault in faults:
            name = fault.partition(":")[0]
            assert fault.startswith(f"{name}: {wrong[name]!r} ") or name == "DATABASE_URL"
    else:
        loaded = load(tmp_path, environ)
        for name in right:
            _, field, value = RIGHT[name]
            assert getattr(loaded, field) == value


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert load(tmp_path, dict.fromkeys(WRONG, "")) == load(tmp_path, {})


@pytest.mark.parametrize("variable", OPTIONS)
def test_an_option_wins_over_its_variable(tmp_path: Path, variable: str) -> None:
    text, field, value = RIGHT[variable]
    option = OPTIONS[variable]
    loaded = load(tmp_path, {variable: WRONG[variable][0]}, **{option: text})
    assert getattr(loaded, field) == value
    wrong = WRONG[variable][0]
    (fault,) = faults_of(tmp_path, {variable: text}, **{option: wrong})
    assert fault.startswith(f"--{option.replace('_', '-')} ({variable}): {wrong!r} ")


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    loaded = load(tmp_path / "new", {})
    assert (tmp_path / "new").is_dir()
    assert loaded.database_url == f"sqlite:///{tmp_path}/new/media_store.db"
    assert loaded.storage_dir == tmp_path / "new/compute"
    assert loaded.media_dir == tmp_path / "new/media"
    assert (loaded.worker_id, loaded.tasks, loaded.poll_interval) == ("worker-default", (), 5)
    assert (loaded.mqtt_host, loaded.mqtt_port, loaded.mqtt_topic) == ("localhost", 1883, "cl_server")
    assert (loaded.capability_topic_prefix, loaded.heartbeat_interval) == ("inference/workers", 30)
    assert (loaded.broadcast_type, loaded.log_level, loaded.log_format) == ("mqtt", "INFO", "json")
    assert (loaded.time_limit, loaded.memory_limit_mib, loaded.allow_dirs) == (None, None, ())
    assert loaded.input_roots == (loaded.storage_dir, loaded.media_dir)
    assert loaded.output_roots == (loaded.storage_dir,)


def test_a_missing_data_folder_setting_does_not_hide_other_faults() -> None:
    with pytest.raises(SettingsError) as failure:
        load_settings({}, {"MQTT_PORT": "none"})
    unset, port = failure.value.faults
    assert unset.startswith("CL_SERVER_DIR is not set")
    assert port.startswith("MQTT_PORT: 'none' ")


@pytest.mark.parametrize("folder", ["/dev/null", "/dev/null/data", "/proc/data", "/" + "x" * 5000])
def test_a_data_folder_that_cannot_be_made_is_named(folder: str) -> None:
    with pytest.raises(SettingsError, match=r"^CL_SERVER_DIR: [^\n]*'/") as failure:
        load_settings({}, {"CL_SERVER_DIR": folder})
    assert folder in str(failure.value)


def test_a_data_folder_that_is_not_writable_is_a_usage_error(program: Program) -> None:
    program.server_dir.mkdir()
    program.server_dir.chmod(0o555)
    result = program.without_root_powers().run("jobs", MQTT_PORT="0")
    assert (result.code, result.errors) == (2, ["MQTT_PORT: '0' is not a port between 1 and 65535"])
    result = program.without_root_powers().run("jobs")
    assert result.code == 2
    assert result.errors == [f"CL_SERVER_DIR: the folder '{program.server_dir}' is not writable by this user"]


def test_commands_that_need_less_read_less() -> None:
    environ = {"LOG_LEVEL": "error", "CLWORKER_PLUGIN_TIMEOUT": "3", "MQTT_PORT": "none", "NO_COLOR": "1"}
    tasks = load_task_settings({"log_format": "console"}, environ)
    assert (tasks.plugin_timeout, tasks.log_level, tasks.log_format, tasks.colour) == (3, "ERROR", "console", False)
    assert load_task_settings({}, {"NO_COLOR": ""}).colour
    with pytest.raises(SettingsError, match=r"CLWORKER_PLUGIN_TIMEOUT: '0' .*; LOG_LEVEL: 'x' "):
        load_task_settings({}, {"LOG_LEVEL": "x", "CLWORKER_PLUGIN_TIMEOUT": "0"})


passwords = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map("§{}".format)
PLACES = [
    "mysql://cl:{}@db/media",
    "mysql://cl@corp:{}@db/media",
    "postgresql:/cl:{}@db/media",
    "postgresql:cl:{}@db/media",
    "//cl:{}@db/media",
    "cl:{}@db",
    "mysql+pymysql://cl:{}@[::1]:3306/media?charset=utf8",
    "sqlite://cl:{}@db/media.db",
    "mysql://db/media?user=cl&password={}",
    "mysql://db/media?sslpassword={}&sslmode=require",
    "sqlite:////data/media.db?Password={}",
    "host=db user=cl password={}",
    "host=db password = '{}' user=cl",
]


@one_folder_for_all
@given(password=passwords, place=st.sampled_from(PLACES), variable=st.sampled_from(["DATABASE_URL", "MQTT_BROKER"]))
def test_no_password_is_ever_in_a_message(tmp_path: Path, password: str, place: str, variable: str) -> None:
    (fault,) = faults_of(tmp_path, {variable: place.format(password)})
    assert fault.startswith(f"{variable}: ")
    assert password not in fault
    assert repr(password)[1:-1] not in fault


def test_no_password_is_ever_in_a_repr_or_a_label(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"DATABASE_URL": "sqlite:////data/cl:s3cret@db.sqlite"})
    assert "s3cret" in loaded.database_url
    assert "s3cret" not in repr(loaded)
    for password in ("s3cret", "it's%20s3cret", "s3@cret"):
        assert open_database(f"postgresql://cl:{password}@db/media").label == "postgresql://cl:***@db/media"
    assert "s3cret" not in open_database("postgresql:///media?host=db&password=s3cret").label
