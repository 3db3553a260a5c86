"""clworker's own tables: its instances, their attempts at jobs, and what it has purged."""

from typing import Any

import sqlalchemy as sa

SCHEMA_VERSION = 1
"""Version of the ``clworker_`` tables; a database that holds a newer one is left alone."""

own = sa.MetaData()


def only_where(condition: str, index: sa.Index) -> sa.Index:
    """Make an index a partial one, in whatever database it will be created.

    By ``postgresql_where`` everybody would import that dialect, which takes 0.1 s.
    """

    def say_so(target: sa.Index, connection: sa.Connection, **_: Any) -> None:
        target.dialect_options[connection.dialect.name]["where"] = sa.text(condition)

    sa.event.listen(index, "before_create", say_so)
    return index


schema_versions = sa.Table("clworker_schema", own, sa.Column("version", sa.Integer, nullable=False))

instances = sa.Table(
    "clworker_instances",
    own,
    sa.Column("instance", sa.String(32), primary_key=True),
    sa.Column("worker_id", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("lock_path", sa.Text, nullable=False),
    sa.Column("lock_device", sa.BigInteger, nullable=False),
    sa.Column("lock_inode", sa.BigInteger, nullable=False),
    sa.Column("heartbeat", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_interval_ms", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Index("clworker_instances_worker", "worker_id"),
    sa.Index("clworker_instances_ended", "ended_at"),
)

attempts = sa.Table(
    "clworker_attempts",
    own,
    # SQLite's numbers are as large as need be, but only under this name.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Column("instance", sa.String(32), nullable=False),
    # Without an index: found by job and token. Random values would touch a page for each claim.
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("handed_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("cause", sa.String(32)),
    sa.Column("signal", sa.Integer),
    sa.Column("exit_code", sa.Integer),
    sa.Column("peak_memory_kib", sa.BigInteger),
    sa.Index("clworker_attempts_job", "job_id"),
    sa.Index("clworker_attempts_instance", "instance", "ended_at"),
    only_where("ended_at IS NULL", sa.Index("clworker_attempts_open", "job_id", unique=True)),
    sa.Index("clworker_attempts_ended", "ended_at"),
)

purged = sa.Table(
    "clworker_purged",
    own,
    # Jobs whose rows were purged and whose folders may still be there.
    sa.Column("job_id", sa.String, primary_key=True),
)
