"""Runs a worker, looks after those that run, and checks what they need."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from clworker.core.app.setup import open_store
from clworker.core.errors import ClworkerError

if TYPE_CHECKING:
    from clworker.core.doctor.check import Check
    from clworker.core.errors import BrokerUnavailable
    from clworker.core.models.jobs import ComputeJob
    from clworker.core.models.workers import WorkerView
    from clworker.core.roll_call import Cleared
    from clworker.core.settings import BrokerSettings, Settings


def run_once(settings: Settings) -> ComputeJob | None:
    """Claim one job, run it and return it as it then stands; None when nothing waited.

    To be called from the main thread. Logs to stderr while it runs. Raises Interrupted when
    a signal stopped it, UsageFault and StoreUnavailable.
    """
    import asyncio

    from clworker.core import launch, logs

    with logs.restored():
        return asyncio.run(launch.run_once(settings))


def run_worker(settings: Settings) -> None:
    """Run a worker until a signal ends it. To be called from the main thread, which it keeps.

    Raises Interrupted after a second signal, UsageFault (the name is in use, no task is
    ready), InstanceEnded after a takeover, and StoreUnavailable when the database cannot be
    opened at the start.
    """
    import asyncio

    from clworker.core import launch

    asyncio.run(launch.run_worker(settings))


def list_workers(settings: Settings) -> tuple[list[WorkerView], BrokerUnavailable | None]:
    """Return the workers as broker and database know them.

    With the broker out of reach, what the database knows and the trouble. Raises
    StoreUnavailable.
    """
    from clworker.core import roll_call

    with open_store(settings) as store:
        records = store.instances.live()
    retained, trouble = roll_call.standing(settings)
    return roll_call.match(retained, records), trouble


def clear_capabilities(
    settings: BrokerSettings, worker_ids: Collection[str], *, stale: bool, force: bool
) -> list[Cleared]:
    """Remove retained messages of workers that are gone. Raises BrokerUnavailable."""
    from clworker.core import roll_call

    locked = _names_with_locks()
    return roll_call.clear(settings, worker_ids, stale=stale, force=force, holds_lock=locked.__contains__)


def examine(options: dict[str, str | None]) -> list[Check]:
    """Check everything that a worker needs; what is wrong with the settings is a check too."""
    from clworker.core import structured_logs
    from clworker.core.doctor.examination import examine_all
    from clworker.core.environment import load_log_settings
    from clworker.core.errors import SettingsError
    from clworker.core.settings import LogSettings

    try:
        log = load_log_settings(options)
    except SettingsError:
        log = LogSettings(log_level="INFO", log_format="json", colour=False)
    structured_logs.configure(log)
    return examine_all(options)


def _names_with_locks() -> set[str]:
    """Return the names of live workers that show themselves, if there is a database that can be asked."""
    from clworker.core.environment import has_server_dir, load_settings
    from clworker.core.store.identity import Role

    if not has_server_dir():
        return set()
    try:
        settings = load_settings({})
        if settings.database_is_file and not settings.database_path.exists():
            return set()
        with open_store(settings) as store:
            return {record.worker_id for record in store.instances.live() if record.alive and record.role == Role.RUN}
    except ClworkerError:
        return set()
