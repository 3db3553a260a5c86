"""Settings: the only reader of the environment.

Names, defaults and meanings are those of the CL server contract; names that begin with
``CLWORKER_`` are clworker's own. An option of the command line wins over its variable, and
an empty variable counts as unset.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from clworker.core import parsing
from clworker.core.errors import SettingsError
from clworker.core.secrets import masked_value

Value = TypeVar("Value")
Options = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """How log lines are written to stderr."""

    log_level: str
    log_format: str
    colour: bool


@dataclass(frozen=True, kw_only=True)
class TaskSettings(LogSettings):
    """What is needed to find task plugins: no data folder, no database, no broker."""

    plugin_timeout: float


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Everything a command that works on jobs needs to know. Durations are in seconds."""

    server_dir: Path
    database_url: str = field(repr=False)
    storage_dir: Path
    media_dir: Path
    allow_dirs: tuple[Path, ...]
    worker_id: str
    tasks: tuple[str, ...]
    poll_interval: float
    time_limit: float | None
    memory_limit_mib: int | None
    broadcast_type: str
    mqtt_host: str
    mqtt_port: int
    mqtt_topic: str
    capability_topic_prefix: str
    heartbeat_interval: float

    @property
    def database_path(self) -> Path:
        """The file of the SQLite database."""
        return Path(parsing.sqlite_path(self.database_url))

    @property
    def input_roots(self) -> tuple[Path, ...]:
        """Folders that a job's inputs may lie in (invariant 11 of the architecture)."""
        return (self.storage_dir, self.media_dir, *self.allow_dirs)

    @property
    def output_roots(self) -> tuple[Path, ...]:
        """Folders that a job's outputs may be written to."""
        return (self.storage_dir, *self.allow_dirs)

    def job_dir(self, job_id: str) -> Path:
        """Return the folder that holds the files of one job."""
        return self.storage_dir / "jobs" / job_id


class _Reader:
    """Reads one setting after another and remembers each fault instead of stopping at it."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        self._options = options
        self._environ = environ
        self.faults: list[str] = []

    def read(self, variable: str, parse: Callable[[str], Value], default: Value, option: str | None = None) -> Value:
        """Return the parsed option or variable, else the default; on a fault note it and go on."""
        text = self._options.get(option) if option else None
        name = variable
        if text is not None:
            name = f"--{(option or '').replace('_', '-')} ({variable})"
        else:
            text = self._environ.get(variable, "")
            if not text:
                return default
        try:
            return parse(text)
        except ValueError as fault:
            self.faults.append(f"{name}: {masked_value(text)!r} {fault}")
            return default

    def finish(self) -> None:
        if self.faults:
            raise SettingsError(self.faults)


def load_log_settings(options: Options, environ: Mapping[str, str] = os.environ) -> LogSettings:
    """Read the settings of logging alone. Raises SettingsError."""
    reader = _Reader(options, environ)
    settings = LogSettings(**_log(reader))
    reader.finish()
    return settings


def load_task_settings(options: Options, environ: Mapping[str, str] = os.environ) -> TaskSettings:
    """Read what task discovery needs. Raises SettingsError with every fault at once."""
    reader = _Reader(options, environ)
    settings = TaskSettings(plugin_timeout=_plugin_timeout(reader), **_log(reader))
    reader.finish()
    return settings


def load_settings(options: Options, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read all settings and make sure that the data folder exists.

    ``options`` maps option names (``worker_id``) to the text that was given, or None.
    Raises SettingsError with every fault at once, each with its variable and value.
    """
    reader = _Reader(options, environ)
    read = reader.read
    server_dir = read("CL_SERVER_DIR", parsing.folder, None)
    if server_dir is None and not reader.faults:
        reader.faults.append("CL_SERVER_DIR is not set: name the data folder, the one that holds media_store.db")
    base = server_dir or Path("/")
    settings = Settings(
        server_dir=base,
        database_url=read("DATABASE_URL", parsing.database_url, f"sqlite:///{base}/media_store.db"),
        storage_dir=read("COMPUTE_STORAGE_DIR", parsing.folder, base / "compute"),
        media_dir=read("MEDIA_STORAGE_DIR", parsing.folder, base / "media"),
        allow_dirs=read("CLWORKER_ALLOW_DIR", parsing.folders, (), "allow_dir"),
        worker_id=read("WORKER_ID", parsing.worker_id, "worker-default", "worker_id"),
        tasks=read("WORKER_SUPPORTED_TASKS", parsing.names, (), "tasks"),
        poll_interval=read("WORKER_POLL_INTERVAL", parsing.seconds, 5.0, "poll_interval"),
        time_limit=read("CLWORKER_TIME_LIMIT", parsing.seconds, None, "time_limit"),
        memory_limit_mib=read("CLWORKER_MEMORY_LIMIT", parsing.mebibytes, None, "memory_limit"),
        broadcast_type=read("BROADCAST_TYPE", parsing.one_of("mqtt", "noop"), "mqtt"),
        mqtt_host=read("MQTT_BROKER", parsing.host, "localhost"),
        mqtt_port=read("MQTT_PORT", parsing.port, 1883),
        mqtt_topic=read("MQTT_TOPIC", parsing.topic, "cl_server"),
        capability_topic_prefix=read("CAPABILITY_TOPIC_PREFIX", parsing.topic, "inference/workers"),
        heartbeat_interval=read("MQTT_HEARTBEAT_INTERVAL", parsing.seconds, 30.0),
        plugin_timeout=_plugin_timeout(reader),
        **_log(reader),
    )
    reader.finish()
    _make_data_folder(base)
    return settings


def _log(reader: _Reader) -> dict[str, Any]:
    levels = parsing.one_of("DEBUG", "INFO", "WARNING", "ERROR", upper=True)
    return {
        # no-color.org: any value, except an empty one, switches colours off.
        "colour": not reader.read("NO_COLOR", bool, False),
        "log_level": reader.read("LOG_LEVEL", levels, "INFO", "log_level"),
        "log_format": reader.read("CLWORKER_LOG_FORMAT", parsing.one_of("json", "console"), "json", "log_format"),
    }


def _plugin_timeout(reader: _Reader) -> float:
    return reader.read("CLWORKER_PLUGIN_TIMEOUT", parsing.seconds, 30.0)


def _make_data_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise SettingsError([f"CL_SERVER_DIR: cannot create the folder {str(path)!r}: {reason}"]) from fault
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError([f"CL_SERVER_DIR: the folder {str(path)!r} is not writable by this user"])
