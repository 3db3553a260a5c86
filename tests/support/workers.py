"""Workers that are not there: what others would see of them, in the database and at the broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clworker.core.clock import now_ms
from clworker.core.store.identity import Instance, InstanceLock, Role
from clworker.core.store.store import Store
from tests.support.watcher import CAPABILITY_TOPIC, Watcher


def capability(worker_id: str, /, **changes: Any) -> dict[str, Any]:
    """Return the fields of a worker's message."""
    fields = {
        "id": worker_id,
        "worker_id": worker_id,
        "capabilities": ["image_resize"],
        "idle_count": 1,
        "timestamp": now_ms(),
    }
    return fields | changes


@contextmanager
def registered(store: Store, worker_id: str, role: Role = Role.RUN) -> Iterator[None]:
    """Have this process hold a worker's lock; at the end the worker is dead and has left its proof."""
    instance = Instance.new(worker_id, role, 30.0)
    with InstanceLock(store.database.home, instance) as lock:
        assert store.instances.register(instance, lock.file) == []
        lock.needed_as_proof = True
        yield


@contextmanager
def speaking(watcher: Watcher, worker_id: str) -> Iterator[None]:
    """Have a worker's message published again and again."""
    ended = threading.Event()

    def speak() -> None:
        while not ended.is_set():
            watcher.publish(CAPABILITY_TOPIC + worker_id, capability(worker_id), retain=True)
            ended.wait(0.05)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
