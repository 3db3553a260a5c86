"""The settings as the parts of clworker receive them; ``environment`` reads them."""

from dataclasses import dataclass, field
from pathlib import Path

from clworker.core import parsing
from clworker.core.errors import PathRefused


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """How log lines are written to stderr."""

    log_level: str
    log_format: str
    colour: bool


@dataclass(frozen=True, kw_only=True)
class TaskSettings(LogSettings):
    """What is needed to find task plugins: no data folder, no database, no broker."""

    plugin_timeout: float


@dataclass(frozen=True, kw_only=True)
class BrokerSettings(LogSettings):
    """How the MQTT broker is reached, and under which topics. Durations are in seconds."""

    broadcast_type: str
    mqtt_host: str
    mqtt_port: int
    mqtt_topic: str
    capability_topic_prefix: str
    heartbeat_interval: float
    mqtt_user: str | None
    mqtt_password: str | None = field(repr=False)
    mqtt_ca: Path | None
    mqtt_cert: Path | None
    mqtt_key: Path | None

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.mqtt_ca is not None or self.mqtt_cert is not None

    def capability_topic(self, worker_id: str) -> str:
        """Return the topic on which a worker's capability stands."""
        return f"{self.capability_topic_prefix}/{worker_id}"


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings, BrokerSettings):
    """Everything a command that works on jobs needs to know. Durations are in seconds."""

    server_dir: Path
    database_url: str = field(repr=False)
    storage_dir: Path
    media_dir: Path
    allow_dirs: tuple[Path, ...]
    worker_id: str
    tasks: tuple[str, ...]
    concurrency: int
    poll_interval: float
    time_limit: float | None
    memory_limit_mib: int | None
    max_jobs_per_slot: int | None
    max_memory_per_slot_mib: int | None
    drain_timeout: float
    takeover: bool
    skip_missing_inputs: bool
    http: tuple[str, int] | None
    """Address and port to serve health, metrics and the page on; port 0 is any that is free."""
    notify_socket: str | None
    watchdog_interval: float | None

    @property
    def database_is_file(self) -> bool:
        """Whether the database is a file of this machine (SQLite) rather than a server's (PostgreSQL)."""
        return parsing.is_file_database(self.database_url)

    @property
    def database_path(self) -> Path:
        """The file of the SQLite database, or where it would be; lock files lie beside it."""
        if not self.database_is_file:
            return self.server_dir / "media_store.db"
        return Path(parsing.sqlite_path(self.database_url))

    @property
    def input_roots(self) -> tuple[Path, ...]:
        """Folders that a job's inputs may lie in (invariant 11 of the architecture)."""
        return (self.storage_dir, self.media_dir, *self.allow_dirs)

    @property
    def output_roots(self) -> tuple[Path, ...]:
        """Folders that a job's outputs may be written to."""
        return (self.storage_dir, *self.allow_dirs)

    def job_dir(self, job_id: str) -> Path:
        """Return the folder that holds the files of one job.

        Raises PathRefused for an id that would lead elsewhere: ids come from other programs.
        """
        if job_id in ("", ".", "..") or "/" in job_id or "\0" in job_id:
            raise PathRefused(f"no folder can belong to the job {job_id!r}: its id is no name of a folder")
        return self.storage_dir / "jobs" / job_id
