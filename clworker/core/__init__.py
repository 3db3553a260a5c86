"""clworker's core: everything but the command line, usable as a library.

For a service that queues jobs: ``load_settings`` and ``JobClient``. For a program or a test
that runs them: ``run_once`` and ``run_worker``. For those who know the engine's worker:
``open_store`` and ``SQLAlchemyJobRepository``. The failures are in ``clworker.core.errors``.

Each name is loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clworker.core.app.operation import run_once, run_worker
    from clworker.core.app.setup import open_store
    from clworker.core.client import JobClient
    from clworker.core.environment import load_settings
    from clworker.core.library import SQLAlchemyJobRepository
    from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
    from clworker.core.models.requests import JobFilter
    from clworker.core.presence.broadcaster import get_broadcaster, shutdown_broadcaster
    from clworker.core.presence.messages import JobEvent
    from clworker.core.settings import Settings
    from clworker.core.worker.supervisor import ComputeWorker

__all__ = [
    "ComputeJob",
    "ComputeJobStatus",
    "ComputeWorker",
    "JobClient",
    "JobEvent",
    "JobFilter",
    "SQLAlchemyJobRepository",
    "Settings",
    "get_broadcaster",
    "load_settings",
    "open_store",
    "run_once",
    "run_worker",
    "shutdown_broadcaster",
]

_HOMES = {
    "ComputeJob": "models.jobs",
    "ComputeJobStatus": "models.jobs",
    "ComputeWorker": "worker.supervisor",
    "JobClient": "client",
    "JobEvent": "presence.messages",
    "JobFilter": "models.requests",
    "SQLAlchemyJobRepository": "library",
    "Settings": "settings",
    "get_broadcaster": "presence.broadcaster",
    "load_settings": "environment",
    "open_store": "app.setup",
    "run_once": "app.operation",
    "run_worker": "app.operation",
    "shutdown_broadcaster": "presence.broadcaster",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
