"""clworker's core: everything but the command line, usable as a library.

The names of the CL server contract can be imported from here; each is loaded on first
use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clworker.core.library import SQLAlchemyJobRepository
    from clworker.core.models import ComputeJob, ComputeJobStatus
    from clworker.core.presence.broadcaster import get_broadcaster, shutdown_broadcaster
    from clworker.core.settings import Settings, load_settings
    from clworker.core.worker.supervisor import ComputeWorker

__all__ = [
    "ComputeJob",
    "ComputeJobStatus",
    "ComputeWorker",
    "SQLAlchemyJobRepository",
    "Settings",
    "get_broadcaster",
    "load_settings",
    "shutdown_broadcaster",
]

_HOMES = {
    "ComputeJob": "models",
    "ComputeJobStatus": "models",
    "ComputeWorker": "worker.supervisor",
    "SQLAlchemyJobRepository": "library",
    "Settings": "settings",
    "get_broadcaster": "presence.broadcaster",
    "load_settings": "settings",
    "shutdown_broadcaster": "presence.broadcaster",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
