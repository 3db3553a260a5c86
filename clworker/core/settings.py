"""Settings: the only reader of the environment.

Names, defaults and meanings are those of the CL server contract; names that begin with
``CLWORKER_`` are clworker's own. An option of the command line wins over its variable, and
an empty variable counts as unset.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from clworker.core import parsing
from clworker.core.errors import PathRefused, SettingsError
from clworker.core.secrets import masked_whole

Value = TypeVar("Value")
Options = Mapping[str, str | None]
_NO_FOLDERS: tuple[Path, ...] = ()
_SECRETS = ("DATABASE_URL", "CLWORKER_MQTT_PASSWORD")
_NO_NAMES: tuple[str, ...] = ()


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
class BrokerSettings(LogSettings):
    """How the MQTT broker is reached, and under which topics. Durations are in seconds."""

    broadcast_type: str
    mqtt_host: str
    mqtt_port: int
    mqtt_topic: str
    capability_topic_prefix: str
    heartbeat_interval: float
    mqtt_user: str | None
    mqtt_password: str | None = field(repr=False)
    mqtt_ca: Path | None
    mqtt_cert: Path | None
    mqtt_key: Path | None

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.mqtt_ca is not None or self.mqtt_cert is not None

    def capability_topic(self, worker_id: str) -> str:
        """Return the topic on which a worker's capability stands."""
        return f"{self.capability_topic_prefix}/{worker_id}"


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings, BrokerSettings):
    """Everything a command that works on jobs needs to know. Durations are in seconds."""

    server_dir: Path
    database_url: str = field(repr=False)
    storage_dir: Path
    media_dir: Path
    allow_dirs: tuple[Path, ...]
    worker_id: str
    tasks: tuple[str, ...]
    concurrency: int
    poll_interval: float
    time_limit: float | None
    memory_limit_mib: int | None
    max_jobs_per_slot: int | None
    max_memory_per_slot_mib: int | None
    drain_timeout: float
    takeover: bool
    skip_missing_inputs: bool
    http: tuple[str, int] | None
    """Address and port to serve health, metrics and the page on; port 0 is any that is free."""
    notify_socket: str | None
    watchdog_interval: float | None

    @property
    def database_is_file(self) -> bool:
        """Whether the database is a file of this machine (SQLite) rather than a server's (PostgreSQL)."""
        return parsing.is_file_database(self.database_url)

    @property
    def database_path(self) -> Path:
        """The file of the SQLite database, or where it would be; lock files lie beside it."""
        if not self.database_is_file:
            return self.server_dir / "media_store.db"
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
        """Return the folder that holds the files of one job.

        Raises PathRefused for an id that would lead elsewhere: ids come from other programs.
        """
        if job_id in ("", ".", "..") or "/" in job_id or "\0" in job_id:
            raise PathRefused(f"no folder can belong to the job {job_id!r}: its id is no name of a folder")
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
            self.faults.append(f"{name}: {masked_whole(text)!r} {fault}")
            return default

    def read_own(self, option: str, parse: Callable[[str], Value], default: Value, secret: bool = False) -> Value:
        """Read a setting of clworker's own: its variable is ``CLWORKER_`` and the option's name."""
        return self.read(f"CLWORKER_{option.upper()}", parse, default, None if secret else option)

    def finish(self) -> None:
        if self.faults:
            raise SettingsError(self.faults)


def load_task_settings(options: Options, environ: Mapping[str, str] = os.environ) -> TaskSettings:
    """Read what task discovery needs. Raises SettingsError with every fault at once."""
    reader = _Reader(options, environ)
    settings = TaskSettings(plugin_timeout=_plugin_timeout(reader), **_log(reader))
    reader.finish()
    return settings


def load_broker_settings(options: Options, environ: Mapping[str, str] = os.environ) -> BrokerSettings:
    """Read what is needed to talk to the broker. Raises SettingsError with every fault at once."""
    reader = _Reader(options, environ)
    settings = BrokerSettings(**_broker(reader), **_log(reader))
    reader.finish()
    return settings


def load_settings(options: Options, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read all settings and make sure that the data folder exists. Raises SettingsError."""
    settings = read_settings(options, environ)
    _make_data_folder(settings.server_dir)
    return settings


def read_settings(options: Options, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read all settings.

    ``options`` maps option names (``worker_id``) to the text that was given, or None.
    Raises SettingsError with every fault at once, each with its variable and value.
    """
    reader = _Reader(options, environ)
    settings = Settings(
        **_places(reader),
        **_worker(reader),
        **_service(reader),
        **_broker(reader),
        **_log(reader),
        plugin_timeout=_plugin_timeout(reader),
    )
    reader.finish()
    return settings


def load_log_settings(options: Options, environ: Mapping[str, str] = os.environ) -> LogSettings:
    """Read how to log. Raises SettingsError with every fault at once."""
    reader = _Reader(options, environ)
    settings = LogSettings(**_log(reader))
    reader.finish()
    return settings


def environment_of_children(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for processes that run plugins: without the secrets, which they do not need.

    Nor may pydantic look for plugins of its own there: one package with a damaged list of
    entry points would make it, and so every task, unimportable.
    """
    kept = {name: value for name, value in environ.items() if name not in _SECRETS}
    return {"PYDANTIC_DISABLE_PLUGINS": "__all__", **kept}


def has_server_dir(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether there is a data folder, for commands that look into the database only if they can."""
    return os.path.isdir(os.path.expanduser(environ.get("CL_SERVER_DIR", "")))


def database_to_look_into(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL of the database that the variables name, unless it is a file that is not there.

    Creates and raises nothing.
    """
    reader = _Reader({}, environ)
    url: str = _places(reader)["database_url"]
    if reader.faults or (parsing.is_file_database(url) and not os.path.isfile(parsing.sqlite_path(url))):
        return None
    return url


def _places(reader: _Reader) -> dict[str, Any]:
    server_dir = reader.read("CL_SERVER_DIR", parsing.folder, None)
    if server_dir is None and not reader.faults:
        reader.faults.append("CL_SERVER_DIR is not set: name the data folder, the one that holds media_store.db")
    base = server_dir or Path("/")
    return {
        "server_dir": base,
        "database_url": reader.read("DATABASE_URL", parsing.database_url, f"sqlite:///{base}/media_store.db"),
        "storage_dir": reader.read("COMPUTE_STORAGE_DIR", parsing.folder, base / "compute"),
        "media_dir": reader.read("MEDIA_STORAGE_DIR", parsing.folder, base / "media"),
        "allow_dirs": reader.read("CLWORKER_ALLOW_DIR", parsing.folders, _NO_FOLDERS, "allow_dir"),
    }


def _worker(reader: _Reader) -> dict[str, Any]:
    read, own = reader.read, reader.read_own
    return {
        "worker_id": read("WORKER_ID", parsing.worker_id, "worker-default", "worker_id"),
        "tasks": read("WORKER_SUPPORTED_TASKS", parsing.names, _NO_NAMES, "tasks"),
        "poll_interval": read("WORKER_POLL_INTERVAL", parsing.seconds, 5.0, "poll_interval"),
        "concurrency": own("concurrency", parsing.count, 1),
        "time_limit": own("time_limit", parsing.seconds, None),
        "memory_limit_mib": own("memory_limit", parsing.mebibytes, None),
        "max_jobs_per_slot": own("max_jobs_per_slot", parsing.count, None),
        "max_memory_per_slot_mib": own("max_memory_per_slot", parsing.mebibytes, None),
        "drain_timeout": own("drain_timeout", parsing.seconds, 30.0),
        "takeover": own("takeover", parsing.switch, False),
        "skip_missing_inputs": own("skip_missing_inputs", parsing.switch, False),
        "http": own("http", parsing.listen_address, None),
    }


def _service(reader: _Reader) -> dict[str, Any]:
    # systemd's own variables, see sd_notify(3).
    return {
        "notify_socket": reader.read("NOTIFY_SOCKET", str, None),
        "watchdog_interval": reader.read("WATCHDOG_USEC", parsing.microseconds, None),
    }


def _broker(reader: _Reader) -> dict[str, Any]:
    read, own = reader.read, reader.read_own
    password = own("mqtt_password", str, None, secret=True)
    broker: dict[str, Any] = {
        "broadcast_type": read("BROADCAST_TYPE", parsing.one_of("mqtt", "noop"), "mqtt"),
        "mqtt_host": read("MQTT_BROKER", parsing.host, "localhost"),
        "mqtt_port": read("MQTT_PORT", parsing.port, 1883),
        "mqtt_topic": read("MQTT_TOPIC", parsing.topic, "cl_server"),
        "capability_topic_prefix": read("CAPABILITY_TOPIC_PREFIX", parsing.topic, "inference/workers"),
        "heartbeat_interval": read("MQTT_HEARTBEAT_INTERVAL", parsing.seconds, 30.0),
        "mqtt_user": own("mqtt_user", parsing.user_name, None),
        "mqtt_password": own("mqtt_password_file", parsing.secret_file, password),
        "mqtt_ca": own("mqtt_ca", parsing.readable_file, None),
        "mqtt_cert": own("mqtt_cert", parsing.readable_file, None),
        "mqtt_key": own("mqtt_key", parsing.readable_file, None),
    }
    if broker["mqtt_password"] is not None and broker["mqtt_user"] is None:
        reader.faults.append("CLWORKER_MQTT_USER is not set, but a password is")
    reader.faults.extend(_tls_faults(broker["mqtt_ca"], broker["mqtt_cert"], broker["mqtt_key"]))
    return broker


def _tls_faults(ca: Path | None, cert: Path | None, key: Path | None) -> Iterator[str]:
    """Try the files, since a worker that is refused for them should be so before it does anything."""
    if key is not None and cert is None:
        yield "CLWORKER_MQTT_CERT is not set, but a key is"
    if ca is None and cert is None:
        return
    from clworker.core import tls  # not needed without TLS, which is most of the time

    try:
        tls.client_context(ca, cert, key)
    except ValueError as fault:
        yield str(fault)


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
    # A file system that went read-only is no fault of the setting: the database will say so, if it must.
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK) and not os.statvfs(path).f_flag & os.ST_RDONLY:
        raise SettingsError([f"CL_SERVER_DIR: the folder {str(path)!r} is not writable by this user"])
