"""The register of worker instances, by which others can tell whether one lives."""

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.store.database import Database
from clworker.core.store.identity import Instance, LockFile, current_boot_id, is_dead
from clworker.core.store.schema import attempts, instances

_KEPT_MS = 30 * 86_400_000
_PRUNED_AT_ONCE = 1000


class Instances:
    """The registry, over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, instance: Instance, lock: LockFile) -> None:
        """Write the instance down; it must hold its lock already."""
        with self._database.write() as connection:
            connection.execute(
                instances.insert().values(
                    instance=instance.instance,
                    worker_id=instance.worker_id,
                    host=instance.host,
                    boot_id=instance.boot_id,
                    pid=instance.pid,
                    lock_path=lock.path,
                    lock_device=lock.device,
                    lock_inode=lock.inode,
                    heartbeat=0,
                    started_at=now_ms(),
                )
            )

    def end(self, instance: str) -> bool:
        """Note that the instance has ended; False, and no note, while a claim of it is open.

        Such a claim is for a rescuer, which looks only at instances that never ended.
        """
        holds = sa.select(attempts.c.id).where(attempts.c.instance == instance, attempts.c.ended_at.is_(None))
        with self._database.write() as connection:
            ended = connection.execute(
                instances.update().where(instances.c.instance == instance, ~holds.exists()).values(ended_at=now_ms())
            )
            return ended.rowcount > 0

    def provably_dead(self) -> list[tuple[str, LockFile]]:
        """Return the instances that never ended but whose lock on this machine is free."""
        query = sa.select(instances).where(instances.c.ended_at.is_(None))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        found = [
            (row.instance, LockFile(row.lock_path, row.lock_device, row.lock_inode))
            for row in rows
            if row.boot_id == current_boot_id()
        ]
        return [(instance, lock) for instance, lock in found if is_dead(lock)]

    def prune(self) -> None:
        """Forget a batch of what ended more than 30 days ago."""
        before = now_ms() - _KEPT_MS
        old_attempts = sa.select(attempts.c.id).where(attempts.c.ended_at < before).limit(_PRUNED_AT_ONCE)
        still_named = sa.select(attempts.c.id).where(attempts.c.instance == instances.c.instance).exists()
        with self._database.write() as connection:
            connection.execute(attempts.delete().where(attempts.c.id.in_(old_attempts)))
            connection.execute(instances.delete().where(instances.c.ended_at < before, ~still_named))
