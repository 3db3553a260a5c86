"""``watch_commits`` wakes the supervisor after every commit of another connection, with and without inotify."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from clworker.core.store.changes import ChangeProbe
from clworker.core.worker import wakeup
from clworker.core.worker.wakeup import WakeUp, watch_commits

LONG = 20.0


def _no_inotify(folder: str) -> None:
    raise OSError(24, "Too many open files")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "media.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")
    return path


@pytest.fixture(params=["inotify", "no inotify"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way of noticing; a kernel without inotify cannot be had on demand."""
    if request.param == "no inotify":
        monkeypatch.setattr(wakeup, "FolderWatch", _no_inotify)


class _CountingProbe(ChangeProbe):
    looks = 0

    def changed(self) -> bool:
        self.looks += 1
        return super().changed()


@contextmanager
def _writer(path: Path) -> Iterator[Callable[[], object]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield lambda: connection.execute("INSERT INTO t VALUES (1)")


def _watching(
    path: Path,
    body: Callable[[WakeUp, _CountingProbe], Awaitable[None]],
    before: Callable[[], object] = lambda: None,
) -> None:
    async def run() -> None:
        with closing(_CountingProbe(str(path))) as probe:
            before()
            waking = WakeUp()
            watching = asyncio.create_task(watch_commits(str(path), probe, waking))
            try:
                await body(waking, probe)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(run())


async def _woken(waking: WakeUp, _probe: object = None) -> None:
    async with asyncio.timeout(LONG):
        await waking._event.wait()
    waking.clear()


@pytest.mark.usefixtures("way")
def test_every_commit_wakes(database: Path) -> None:
    async def body(waking: WakeUp, probe: _CountingProbe) -> None:
        for _ in range(20):
            commit()
            await _woken(waking)

    with _writer(database) as commit:
        _watching(database, body)


def test_commits_that_nobody_wants_wake_once_they_are_wanted_again(database: Path) -> None:
    async def body(waking: WakeUp, probe: _CountingProbe) -> None:
        commit()
        await _woken(waking)
        for _ in range(3):
            waking.want_commits(False)
            looks = probe.looks
            for _ in range(5):
                commit()
                await asyncio.sleep(0)  # the event is there by now: inotify is told of a write before it returns
            assert probe.looks == looks
            waking.want_commits(True)
            await _woken(waking)

    with _writer(database) as commit:
        _watching(database, body)


@pytest.mark.usefixtures("way")
def test_a_commit_before_the_watch_stands_is_not_missed(database: Path) -> None:
    with _writer(database) as commit:
        _watching(database, _woken, before=commit)


def test_a_commit_wakes_behind_a_link(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "folder" / "link.db"
    link.parent.mkdir()
    link.symlink_to(database)

    async def body(waking: WakeUp, probe: _CountingProbe) -> None:
        for _ in range(2):
            commit()
            await _woken(waking)

    with _writer(database) as commit:
        _watching(link, body)


def test_a_commit_that_becomes_visible_long_after_it_was_written_wakes(database: Path) -> None:
    async def body(waking: WakeUp, probe: _CountingProbe) -> None:
        commit()
        await _woken(waking)
        with closing(sqlite3.connect(database, isolation_level=None)) as slow:
            slow.execute("PRAGMA cache_size=1")  # so that pages go to the log before the commit
            slow.execute("BEGIN IMMEDIATE")
            for _ in range(50):
                slow.execute("INSERT INTO t VALUES (zeroblob(4000))")
            looks = probe.looks
            while probe.looks < looks + 10:  # past the short pauses, into the long ones
                await asyncio.sleep(0.01)
            assert not waking._event.is_set()
            slow.execute("COMMIT")
            await _woken(waking)

    with _writer(database) as commit:
        _watching(database, body)


def test_waiting_ends_with_its_deadline_an_event_or_a_call_from_a_thread() -> None:
    async def run() -> WakeUp:
        waking = WakeUp()
        await waking.wait(0.001)
        waking.set()
        await waking.wait(LONG)
        waking.clear()
        thread = threading.Thread(target=waking.set_from_thread)
        thread.start()
        async with asyncio.timeout(LONG):
            await waking.wait(LONG * 2)
        thread.join()
        return waking

    ended = asyncio.run(run())
    ended.set_from_thread()  # the loop has ended: harmless
