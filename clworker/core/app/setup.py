"""What every command begins with: settings, logging, and the database or the plugins opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from clworker.core.settings import BrokerSettings, LogSettings, Settings, TaskSettings
    from clworker.core.store.store import Store
    from clworker.core.tasks.plugins import Plugins

AnySettings = TypeVar("AnySettings", bound="LogSettings")


def load_settings(options: dict[str, str | None]) -> Settings:
    """Load all settings and make logging ready. Raises SettingsError."""
    from clworker.core import environment

    return _with_logs(environment.load_settings(options))


def load_broker_settings(options: dict[str, str | None]) -> BrokerSettings:
    """Load what the broker needs and make logging ready. Raises SettingsError."""
    from clworker.core import environment

    return _with_logs(environment.load_broker_settings(options))


def load_task_settings(options: dict[str, str | None]) -> TaskSettings:
    """Load what task discovery needs and make logging ready. Raises SettingsError."""
    from clworker.core import environment

    return _with_logs(environment.load_task_settings(options))


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Open the database for the time of the block. Raises StoreUnavailable and SchemaMismatch."""
    from clworker.core.store.store import Store

    store = Store(settings.database_url, home=settings.database_path)
    try:
        yield store
    finally:
        store.close()


def open_plugins(settings: TaskSettings) -> Plugins:
    """Discover the task plugins; a child process holds them until they are closed. Raises PluginHostFailed."""
    from clworker.core.tasks.plugins import Plugins

    return Plugins(settings.plugin_timeout)


def log_internal_error(failure: Exception) -> None:
    """Write the traceback to the log, even when it happened before the settings were known."""
    import logging

    from clworker.core import logs
    from clworker.core.settings import LogSettings

    if not logging.getLogger().handlers:
        logs.prepare(LogSettings(log_level="INFO", log_format="json", colour=False))
    logging.getLogger("clworker").error("internal error", exc_info=failure)


def _with_logs(settings: AnySettings) -> AnySettings:
    from clworker.core import logs

    logs.prepare(settings)
    return settings
