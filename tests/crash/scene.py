"""A data folder with one queued job that writes two files: over an old one, and into folders that are missing."""

import os
from pathlib import Path
from typing import Any

from clworker.core.environment import load_settings
from clworker.core.models.jobs import NewJob
from clworker.core.settings import Settings
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.postgres import Place

TASK, JOB = "copy", "job"
_URL = "database-url"
OLD, NEW = b"old", b"new" * 1000


def settings_of(folder: Path) -> Settings:
    """Return the settings of every process that works on this data folder."""
    environ = {"CL_SERVER_DIR": str(folder), "BROADCAST_TYPE": "noop"}
    place = database_of(folder)
    if isinstance(place, Place):
        environ["DATABASE_URL"] = place.url
    return load_settings({}, environ)


def database_of(folder: Path) -> databases.Place:
    """Return where the database is: a file, unless another file names a server's."""
    url = folder / _URL
    return Place(url.read_text(), home_of(folder)) if url.exists() else home_of(folder)


def home_of(folder: Path) -> Path:
    """Return the path beside which lock files lie."""
    return folder / "media_store.db"


def use_server(folder: Path, place: Place) -> None:
    """Have everything that works on this data folder use a server's database."""
    (folder / _URL).write_text(place.url)


def open_store(folder: Path) -> Store:
    """Open the database and make what is missing."""
    return databases.open_store(database_of(folder))


def make_files(folder: Path) -> None:
    """Make the input, and the old content of one output."""
    for path, content in ((source_of(folder), NEW), (outputs_of(folder)[0], OLD)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def queue_job(folder: Path, max_retries: int = 3) -> None:
    """Make the database and queue the job."""
    store = open_store(folder)
    paths = {"input_paths": [str(source_of(folder))], "output_paths": list(map(str, outputs_of(folder)))}
    store.jobs.add(NewJob(JOB, TASK, paths, max_retries=max_retries))
    store.close()


def source_of(folder: Path) -> Path:
    """Return the job's input."""
    return folder / "compute/in.txt"


def outputs_of(folder: Path) -> list[Path]:
    """Return the job's outputs; the folder of the second is missing at first."""
    return [folder / "compute/out/one.txt", folder / "compute/made/for it/two.txt"]


def job_row(folder: Path) -> dict[str, Any]:
    """Return the row of the one job that there is; nothing when there is none."""
    return next(iter(databases.rows(database_of(folder), "SELECT * FROM jobs")), {})


def started_jobs(folder: Path) -> list[str]:
    """Return the jobs with an open claim whose start is marked in the lock file of its instance."""
    claims = databases.rows(
        database_of(folder), "SELECT job_id, instance, token FROM clworker_attempts WHERE ended_at IS NULL"
    )
    locks = folder / "clworker-locks"
    return [claim["job_id"] for claim in claims if claim["token"] in (locks / f"{claim['instance']}.lock").read_text()]


def attempt_folders(folder: Path) -> list[str]:
    """Return the folders that attempts have left beside outputs."""
    return [str(path) for path in folder.rglob(".clworker-*")]


def lock_files(folder: Path) -> list[str]:
    """Return the names of the lock files beside the database."""
    locks = folder / "clworker-locks"
    return sorted(os.listdir(locks)) if locks.exists() else []
