"""The variables of each part of the settings: name, parser, default and option.

Names, defaults and meanings are those of the CL server contract; names that begin with
``CLWORKER_`` are clworker's own. An option of the command line wins over its variable, and
an empty variable counts as unset.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from clworker.core import parsing
from clworker.core.errors import SettingsError
from clworker.core.secrets import masked_whole

Value = TypeVar("Value")
Options = Mapping[str, str | None]
_NO_FOLDERS: tuple[Path, ...] = ()
_NO_NAMES: tuple[str, ...] = ()


class Reader:
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


def places(reader: Reader) -> dict[str, Any]:
    """Read where the data, the database and the files of jobs are."""
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


def worker(reader: Reader) -> dict[str, Any]:
    """Read how a worker works."""
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


def service(reader: Reader) -> dict[str, Any]:
    """Read what a service manager tells, in systemd's own variables: see sd_notify(3)."""
    return {
        "notify_socket": reader.read("NOTIFY_SOCKET", str, None),
        "watchdog_interval": reader.read("WATCHDOG_USEC", parsing.microseconds, None),
    }


def broker(reader: Reader) -> dict[str, Any]:
    """Read how the broker is reached; what does not fit together is a fault too."""
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


def log(reader: Reader) -> dict[str, Any]:
    """Read how to log."""
    levels = parsing.one_of("DEBUG", "INFO", "WARNING", "ERROR", upper=True)
    return {
        # no-color.org: any value, except an empty one, switches colours off.
        "colour": not reader.read("NO_COLOR", bool, False),
        "log_level": reader.read("LOG_LEVEL", levels, "INFO", "log_level"),
        "log_format": reader.read("CLWORKER_LOG_FORMAT", parsing.one_of("json", "console"), "json", "log_format"),
    }


def plugin_timeout(reader: Reader) -> float:
    """Read how long plugins may take to load."""
    return reader.read("CLWORKER_PLUGIN_TIMEOUT", parsing.seconds, 30.0)
