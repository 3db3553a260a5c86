"""Wakes the supervisor when a job may have been queued, long before the next poll.

inotify says that somebody wrote to SQLite's write-ahead log. With ``synchronous=FULL`` that
often comes before the commit can be seen, so ``data_version`` is asked again and again, in
growing pauses, until it has changed. Without inotify it is asked all the time.
PostgreSQL tells by itself what clworker's programs have queued.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import cast

import structlog

from clworker.core.store.changes import Announced, ChangeProbe, Changes
from clworker.core.worker.inotify import FolderWatch

_PAUSES = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, *[0.05] * 60)
_PAUSE_WITHOUT_INOTIFY = 0.02
_log = structlog.get_logger("clworker.worker")


class WakeUp:
    """An event with a deadline: something happened that makes a look at the queue worth while."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.commits_wanted = True
        """Whether a commit of others matters: not while the supervisor has all the jobs that it can take."""
        self.on_wanted: Callable[[], object] = lambda: None
        """Called when commits are wanted again."""
        self._loop = asyncio.get_running_loop()

    def set(self) -> None:
        """Have the supervisor look. Only from the event loop."""
        self._event.set()

    def set_from_thread(self) -> None:
        """Have the supervisor look, from any thread."""
        with suppress(RuntimeError):  # the loop has ended, and with it the need to look
            self._loop.call_soon_threadsafe(self._event.set)

    def want_commits(self, wanted: bool) -> None:
        """Say whether commits of others are to wake the supervisor; those kept from it do once they are wanted."""
        before, self.commits_wanted = self.commits_wanted, wanted
        if wanted and not before:
            self.on_wanted()

    def clear(self) -> None:
        """Forget what happened until now; to be called before looking, not after."""
        self._event.clear()

    async def wait(self, timeout: float) -> None:
        """Return when something happens, after ``timeout`` seconds at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()


async def watch_changes(changes: Changes, wakeup: WakeUp) -> None:
    """Wake the supervisor after each commit of another connection that may matter, for ever."""
    if isinstance(changes, ChangeProbe):
        await watch_commits(changes.path, changes, wakeup)
    else:
        await _follow(cast(Announced, changes), wakeup)


async def watch_commits(database_path: str, probe: ChangeProbe, wakeup: WakeUp) -> None:
    """Wake the supervisor after each commit of another connection, for ever."""
    path = os.path.realpath(database_path)  # SQLite keeps its log beside the real file, not beside a link
    try:
        watch = FolderWatch(os.path.dirname(path))
    except OSError as failure:
        _log.warning("no inotify; looking at the database all the time", reason=str(failure))
        await _look_all_the_time(probe, wakeup)
        return
    written = asyncio.Event()
    written.set()  # what was written before we watched may yet become visible
    log_name = os.path.basename(path) + "-wal"

    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        if not wakeup.commits_wanted:
            loop.remove_reader(watch.fd)  # what waits there unread is one event, however busy the others are
        elif log_name in set(watch.names()):
            written.set()

    wakeup.on_wanted = partial(loop.add_reader, watch.fd, on_readable)
    wakeup.on_wanted()
    try:
        while True:
            await written.wait()
            written.clear()
            if await _has_changed(probe, written):
                wakeup.set()
    finally:
        wakeup.on_wanted = lambda: None
        loop.remove_reader(watch.fd)
        watch.close()


async def _has_changed(probe: ChangeProbe, written: asyncio.Event) -> bool:
    """Look until a commit can be seen; every further write starts the short pauses again.

    False when none could be for so long that there is none: the last of the writes that
    belong to a commit are often heard of after the commit was seen.
    """
    pauses = iter(_PAUSES)
    while not probe.changed():
        pause = next(pauses, None)
        if pause is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await written.wait()
            written.clear()
            pauses = iter(_PAUSES)
    return True


async def _follow(changes: Announced, wakeup: WakeUp) -> None:
    """Be told of queued jobs; what is told while none is wanted counts as one, once one is."""
    missed = False

    def on_change() -> None:
        nonlocal missed
        if wakeup.commits_wanted:
            wakeup.set_from_thread()
        else:
            missed = True

    def on_wanted() -> None:
        nonlocal missed
        if missed:
            missed = False
            wakeup.set()

    wakeup.on_wanted = on_wanted
    try:
        changes.follow(on_change)
        await asyncio.get_running_loop().create_future()  # for ever
    finally:
        wakeup.on_wanted = lambda: None


async def _look_all_the_time(probe: ChangeProbe, wakeup: WakeUp) -> None:
    while True:
        if probe.changed():
            wakeup.set()
        await asyncio.sleep(_PAUSE_WITHOUT_INOTIFY)
