"""What a worker that starts now under this name would meet."""

from collections.abc import Sequence
from contextlib import closing

from clworker.core import roll_call
from clworker.core.doctor.check import Check, Checks, failed, ok, skipped, warning
from clworker.core.errors import ClworkerError
from clworker.core.models.workers import WorkerRecord, WorkerView
from clworker.core.settings import Settings
from clworker.core.store.identity import Role
from clworker.core.store.server_checkup import open_checkup
from clworker.core.worker.inotify import FolderWatch

NAMES = ("worker-id", "workers", "inotify")


def examine(settings: Settings, asks_for_name: bool) -> Checks:
    """Check the name; one that was asked for is to be free, another may be that of the worker who runs here."""
    retained, trouble = roll_call.standing(settings)
    views = roll_call.match(retained, _records(settings))
    yield _of_name(settings.worker_id, views, asks_for_name)
    if trouble is None:
        yield _of_workers(views)
    else:
        yield skipped("workers", "the broker is out of reach")
    yield _of_inotify(settings)
    return None


def _of_name(mine: str, workers: Sequence[WorkerView], asks_for_name: bool) -> Check:
    views = [view for view in workers if view.worker_id == mine and view.role in (None, Role.RUN)]
    live = [view for view in views if view.alive]
    if live:
        return _of_taken(mine, live[0], asks_for_name)
    for view in views:
        if view.role is None:
            advice = f"'clworker clear-capability {mine}', unless that worker lives; of one name there may be one"
            return warning("worker-id", f"{mine!r} stands at the broker, but in no database of ours", advice)
        if view.alive is None:
            found = f"{mine!r} may be in use on host {view.host}: only heartbeats tell whether that worker lives"
            return warning("worker-id", found, "a new one waits for three of them; choose another with --worker-id")
    return ok("worker-id", f"{mine!r} is free")


def _of_taken(name: str, view: WorkerView, asks_for_name: bool) -> Check:
    found = f"{name!r} is in use on host {view.host} (pid {view.pid})"
    if asks_for_name:
        advice = "choose another with --worker-id, or end that worker with 'clworker run --takeover'"
        return failed("worker-id", found, advice)
    return ok("worker-id", f"{found}, by a worker that lives")


def _of_workers(workers: Sequence[WorkerView]) -> Check:
    """Look at those that are there by their lock: the dead ones are told with the claims they hold."""
    live = [view for view in workers if view.alive]
    told = "; ".join(f"{view.worker_id!r} (pid {view.pid}) {view.note}" for view in live if view.note)
    if told:
        return warning("workers", told, "see what that process does (ps, its log), and start it again if it hangs")
    return ok("workers", f"live workers on this machine, none of them silent: {len(live)}")


def _records(settings: Settings) -> list[WorkerRecord]:
    if settings.database_is_file and not settings.database_path.exists():
        return []
    try:
        with closing(open_checkup(settings.database_url)) as checkup:
            return checkup.live_workers()
    except ClworkerError:
        return []  # its own checks say what is wrong with it


def _of_inotify(settings: Settings) -> Check:
    if not settings.database_is_file:
        return skipped("inotify", "a server tells of queued jobs by itself")
    folder = next(path for path in settings.database_path.parents if path.exists())
    try:
        FolderWatch(str(folder)).close()
    except OSError as failure:
        advice = "raise fs.inotify.max_user_instances and max_user_watches with sysctl; until then workers poll"
        return warning("inotify", f"not to be had for {folder}: {failure.strerror or failure}", advice)
    return ok("inotify", f"{folder} can be watched")
