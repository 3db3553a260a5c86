"""The register of worker instances, by which others can tell whether one lives."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clworker.core.clock import now_ms
from clworker.core.models.workers import WorkerRecord
from clworker.core.store.database import Database, Evidence, again_on_conflict
from clworker.core.store.identity import Instance, LockFile, Role, current_boot_id, is_dead, remove_strays
from clworker.core.store.tables import attempts, instances

_KEPT_MS = 30 * 86_400_000
_PRUNED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Registered:
    """An instance that has not been ended, and the lock that can prove its death."""

    record: WorkerRecord
    lock: LockFile


class Instances:
    """The registry, over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @again_on_conflict
    def register(self, instance: Instance, lock: LockFile) -> list[WorkerRecord]:
        """Write the instance down; it must hold its lock already.

        A worker that ``run`` started gets its name only while no other may still live under
        it: those that may are returned, and nothing is written. Raises StoreUnavailable.
        """
        evidence = Evidence()
        evidence.leave(lambda: sa.select(instances.c.instance).where(instances.c.instance == instance.instance))
        with self._database.write(evidence) as connection:
            if instance.role is Role.RUN:
                self._database.keep_others_out(connection, instance.worker_id)
                named = _record_query().where(
                    instances.c.worker_id == instance.worker_id, instances.c.role == str(Role.RUN)
                )
                rivals = [record for record in map(_record, connection.execute(named)) if record.alive is not False]
                if rivals:
                    return rivals
            connection.execute(instances.insert().values(**_values(instance, lock)))
        return []

    @again_on_conflict
    def beat(self, instance: str) -> bool:
        """Count a heartbeat; False when somebody has ended this instance."""
        with self._database.write() as connection:
            beaten = connection.execute(
                instances.update()
                .where(instances.c.instance == instance, instances.c.ended_at.is_(None))
                .values(heartbeat=instances.c.heartbeat + 1)
            )
            return beaten.rowcount > 0

    @again_on_conflict
    def regain(self, instance: str) -> bool:
        """Take back the place of an instance that was only silent and was given up for dead.

        False when it cannot be had: another worker has the name by now.
        """
        mine = instances.alias("mine")
        name = sa.select(mine.c.worker_id).where(mine.c.instance == instance, mine.c.role == str(Role.RUN))
        others = instances.alias("others")
        rivals = sa.select(others.c.instance).where(
            others.c.worker_id.in_(name),
            others.c.role == str(Role.RUN),
            others.c.ended_at.is_(None),
            others.c.instance != instance,
        )
        with self._database.write() as connection:
            for worker_id in connection.scalars(name).all():
                self._database.keep_others_out(connection, worker_id)
            regained = connection.execute(
                instances.update()
                .where(instances.c.instance == instance, ~rivals.exists())
                .values(ended_at=None, heartbeat=instances.c.heartbeat + 1)
            )
            return regained.rowcount > 0

    def is_live(self, instance: str) -> bool:
        """Tell whether nobody has ended this instance."""
        query = sa.select(instances.c.instance).where(instances.c.instance == instance, instances.c.ended_at.is_(None))
        with self._database.read() as connection:
            return connection.scalar(query) is not None

    def is_name_live(self, worker_id: str, silent: tuple[str, int | None]) -> bool:
        """Tell whether a worker that ``run`` started under this name may live.

        Other than the instance that is known to be ``silent`` at a heartbeat.
        """
        named = _record_query().where(instances.c.worker_id == worker_id, instances.c.role == str(Role.RUN))
        with self._database.read() as connection:
            records = [_record(row) for row in connection.execute(named)]
        return any(record.alive is not False and (record.instance, record.heartbeat) != silent for record in records)

    @again_on_conflict
    def end(self, instance: str, silent_at: int | None = None) -> bool:
        """Note that the instance has ended; False, and no note, while a claim of it is open.

        Such a claim is for a rescuer, which looks only at instances that never ended. With
        ``silent_at`` the instance is ended only if its heartbeats stay there.
        """
        holds = sa.select(attempts.c.id).where(attempts.c.instance == instance, attempts.c.ended_at.is_(None))
        which = [instances.c.instance == instance, ~holds.exists()]
        if silent_at is not None:
            which.append(instances.c.heartbeat == silent_at)
        with self._database.write() as connection:
            # First, so that no claim of it is under way that we would not see.
            connection.execute(sa.select(instances.c.pid).where(which[0]).with_for_update()).close()
            return connection.execute(instances.update().where(*which).values(ended_at=now_ms())).rowcount > 0

    def live(self) -> list[WorkerRecord]:
        """Return every instance that has not been ended, with what its lock says of it."""
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(_record_query())]

    def get(self, instance: str) -> WorkerRecord | None:
        """Return one instance that has not been ended."""
        with self._database.read() as connection:
            return record_of(connection, instance)

    def survey(self) -> list[Registered]:
        """Look over all instances that have not been ended, in one query."""
        return self._found(_record_query())

    def neighbours(self) -> list[Registered]:
        """Look over those of this machine, the only ones whose death a lock can prove to us."""
        return self._found(_record_query().where(instances.c.boot_id == current_boot_id()))

    def provably_dead(self) -> list[tuple[str, LockFile]]:
        """Return the instances that never ended but whose lock on this machine is free."""
        return [(found.record.instance, found.lock) for found in self.neighbours() if found.record.alive is False]

    def _found(self, query: sa.Select[Any]) -> list[Registered]:
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [Registered(_record(row), lock_of(row)) for row in rows]

    @again_on_conflict
    def prune(self) -> None:
        """Forget a batch of what ended more than 30 days ago, and remove stray lock files."""
        before = now_ms() - _KEPT_MS
        old_attempts = sa.select(attempts.c.id).where(attempts.c.ended_at < before).limit(_PRUNED_AT_ONCE)
        old_attempts = old_attempts.with_for_update(skip_locked=True)
        still_named = sa.select(attempts.c.id).where(attempts.c.instance == instances.c.instance).exists()
        with self._database.write() as connection:
            connection.execute(attempts.delete().where(attempts.c.id.in_(old_attempts)))
            connection.execute(instances.delete().where(instances.c.ended_at < before, ~still_named))
        remove_strays(self._database.home, self.is_live)


def record_of(connection: sa.Connection, instance: str) -> WorkerRecord | None:
    """Return one instance that has not been ended, within a transaction of the caller's."""
    row = connection.execute(_record_query().where(instances.c.instance == instance)).one_or_none()
    return None if row is None else _record(row)


def _values(instance: Instance, lock: LockFile) -> dict[str, Any]:
    return {
        "instance": instance.instance,
        "worker_id": instance.worker_id,
        "role": str(instance.role),
        "host": instance.host,
        "boot_id": instance.boot_id,
        "pid": instance.pid,
        "lock_path": lock.path,
        "lock_device": lock.device,
        "lock_inode": lock.inode,
        "heartbeat": 0,
        "heartbeat_interval_ms": int(instance.heartbeat_interval * 1000),
        "started_at": now_ms(),
    }


def _record_query() -> sa.Select[Any]:
    running = (
        sa.select(sa.func.count())
        .where(attempts.c.instance == instances.c.instance, attempts.c.ended_at.is_(None))
        .scalar_subquery()
    )
    return sa.select(instances, running.label("running")).where(instances.c.ended_at.is_(None))


def _record(row: sa.Row[Any]) -> WorkerRecord:
    fields = row._mapping
    wanted = {name: fields[name] for name in WorkerRecord.__dataclass_fields__ if name in fields}
    return WorkerRecord(**wanted, alive=_is_alive(row))


def _is_alive(row: sa.Row[Any]) -> bool | None:
    # A lock file of another run of the kernel, or of another host, proves nothing here.
    dead = is_dead(lock_of(row)) if row.boot_id == current_boot_id() else None
    return None if dead is None else not dead


def lock_of(row: sa.Row[Any]) -> LockFile:
    """Build the lock file's identity from a row of the register."""
    return LockFile(row.lock_path, row.lock_device, row.lock_inode)
