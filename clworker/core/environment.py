"""Loads settings: the only reader of the environment.

Commands that need less than everything load less, and so depend on less. Every fault is
reported at once, each with its variable and value.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from clworker.core import parsing, variables
from clworker.core.errors import SettingsError
from clworker.core.settings import BrokerSettings, LogSettings, Settings, TaskSettings
from clworker.core.variables import Options, Reader

_SECRETS = ("DATABASE_URL", "CLWORKER_MQTT_PASSWORD")


def load_task_settings(options: Options, environ: Mapping[str, str] = os.environ) -> TaskSettings:
    """Read what task discovery needs. Raises SettingsError with every fault at once."""
    reader = Reader(options, environ)
    settings = TaskSettings(plugin_timeout=variables.plugin_timeout(reader), **variables.log(reader))
    reader.finish()
    return settings


def load_broker_settings(options: Options, environ: Mapping[str, str] = os.environ) -> BrokerSettings:
    """Read what is needed to talk to the broker. Raises SettingsError with every fault at once."""
    reader = Reader(options, environ)
    settings = BrokerSettings(**variables.broker(reader), **variables.log(reader))
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
    reader = Reader(options, environ)
    settings = Settings(
        **variables.places(reader),
        **variables.worker(reader),
        **variables.service(reader),
        **variables.broker(reader),
        **variables.log(reader),
        plugin_timeout=variables.plugin_timeout(reader),
    )
    reader.finish()
    return settings


def load_log_settings(options: Options, environ: Mapping[str, str] = os.environ) -> LogSettings:
    """Read how to log. Raises SettingsError with every fault at once."""
    reader = Reader(options, environ)
    settings = LogSettings(**variables.log(reader))
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
    reader = Reader({}, environ)
    url: str = variables.places(reader)["database_url"]
    if reader.faults or (parsing.is_file_database(url) and not os.path.isfile(parsing.sqlite_path(url))):
        return None
    return url


def _make_data_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise SettingsError([f"CL_SERVER_DIR: cannot create the folder {str(path)!r}: {reason}"]) from fault
    # A file system that went read-only is no fault of the setting: the database will say so, if it must.
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK) and not os.statvfs(path).f_flag & os.ST_RDONLY:
        raise SettingsError([f"CL_SERVER_DIR: the folder {str(path)!r} is not writable by this user"])
