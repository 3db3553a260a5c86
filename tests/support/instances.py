"""Worker instances for tests that need one, of the kind that shares its name with others."""

from clworker.core.store.identity import Instance, Role

HEARTBEAT_INTERVAL = 30.0


def new_instance(worker_id: str = "worker") -> Instance:
    """Make the identity of an instance as ``once`` has it."""
    return Instance.new(worker_id, Role.ONCE, HEARTBEAT_INTERVAL)
