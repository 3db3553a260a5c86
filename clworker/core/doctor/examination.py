"""The whole examination: the settings, and then as much as they allow."""

from collections.abc import Mapping
from functools import partial

from clworker.core.doctor import broker, database, plugins, storage, worker
from clworker.core.doctor.check import Check, failed, ok, skipped
from clworker.core.doctor.field import Field, examine
from clworker.core.environment import load_broker_settings, read_settings
from clworker.core.errors import SettingsError
from clworker.core.secrets import masked, masked_url
from clworker.core.settings import BrokerSettings, Settings

Options = Mapping[str, str | None]

_FOR_NOBODY = "clworker"
"""Stands in the broker's test topic when the worker's own name cannot be read."""


def examine_all(options: Options) -> list[Check]:
    """Make every check, in about 15 seconds at most. What is missing is not made; nothing is left behind."""
    try:
        settings = read_settings(options)
    except SettingsError as failure:
        return _without_settings(options, failure)
    fields = [
        Field(storage.NAMES, partial(storage.examine, settings), 5.0),
        Field(database.names(settings), partial(database.examine, settings), 13.0),
        _broker_field(settings, settings.worker_id),
        Field(plugins.NAMES, partial(plugins.examine, settings), 15.0, in_main_thread=True),
        Field(worker.NAMES, partial(worker.examine, settings, options.get("worker_id") is not None), 10.0),
    ]
    return [ok("settings", _told(settings)), *examine(fields)]


def _without_settings(options: Options, failure: SettingsError) -> list[Check]:
    """Tell each fault, and look at the broker, which may be known all the same."""
    faults = [failed("settings", masked(fault), "correct this setting (README, Settings)") for fault in failure.faults]
    pointless = [skipped(name, "the settings are to be corrected first") for name in _names()]
    try:
        settings = load_broker_settings(options)
    except SettingsError:
        return [*faults, *pointless]
    looked_at = examine([_broker_field(settings, _FOR_NOBODY)])
    return [*faults, *looked_at, *(check for check in pointless if check.name not in broker.NAMES)]


def _broker_field(settings: BrokerSettings, worker_id: str) -> Field:
    return Field(broker.NAMES, partial(broker.examine, settings, worker_id), 13.0)


def _names() -> list[str]:
    return [*storage.NAMES, *database.NAMES, *broker.NAMES, *plugins.NAMES, *worker.NAMES]


def _told(settings: Settings) -> str:
    at = "no broker" if settings.broadcast_type == "noop" else f"broker {settings.mqtt_host}:{settings.mqtt_port}"
    return (
        f"worker {settings.worker_id!r}, data folder {settings.server_dir}, {masked_url(settings.database_url)}, {at}"
    )
