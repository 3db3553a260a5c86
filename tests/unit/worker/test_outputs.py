"""Staging and placement: the slot's and the supervisor's halves of an output's way into place."""

import os
import shutil
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clworker.core.errors import PathRefused, StoreUnavailable
from clworker.core.worker.confinement import output_target
from clworker.core.worker.outputs import Placement, Staging, staging_name
from tests.support import disks

OLD, NEW = b"old", b"new"


class Attempt:
    """One attempt at a job: both halves, as slot and supervisor hold them."""

    def __init__(self, root: Path, names: Sequence[str], token: str = "token") -> None:
        paths = [f"{root}/{name}" for name in names]
        self.staging = Staging([output_target(path, [root]) for path in paths], [root], token)
        self.placement = Placement({"output_paths": paths}, [root], token)

    def write(self, *older: str) -> list[Path]:
        """Open the folders, write every output and return where."""
        staged = [Path(path) for path in self.staging.open(older).values()]
        self.placement.note_staged(self.staging.created)
        for path in staged:
            path.write_bytes(NEW)
        return staged


def listing(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_outputs_come_into_place_and_the_folders_go(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(OLD)
    attempt = Attempt(tmp_path, ["one.txt", "two.txt", "a/b/three.txt"])
    attempt.write()
    assert (tmp_path / "one.txt").read_bytes() == OLD
    assert attempt.staging.sync() == []
    attempt.staging.close()
    attempt.placement.place()
    attempt.placement.discard()
    assert listing(tmp_path) == ["a", "a/b", "a/b/three.txt", "one.txt", "two.txt"]
    assert {path.read_bytes() for path in tmp_path.rglob("*.txt")} == {NEW}


def test_an_output_waits_for_a_disk_that_went_read_only_after_it_was_written(tmp_path: Path) -> None:
    """Refusing it would make an error of work that is done and can still be kept."""
    with disks.breakable_disk(tmp_path / "disk", tmp_path / "image") as disk:
        attempt = Attempt(disk, ["one.txt"])
        attempt.write()
        disks.break_disk(disk)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"output cannot be placed: .*/one\.txt: Read-only file system"):
                attempt.placement.place()
        attempt.placement.discard()
        attempt.staging.close()


def test_placing_again_after_a_failed_commit_changes_nothing(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, ["one.txt", "two.txt"])
    attempt.write()
    attempt.placement.place()
    (tmp_path / "one.txt").write_bytes(b"of somebody else")
    attempt.placement.place()
    assert (tmp_path / "one.txt").read_bytes() == b"of somebody else"


def test_what_was_never_staged_is_never_placed(tmp_path: Path) -> None:
    placement = Attempt(tmp_path, ["one.txt"]).placement
    placement.place()
    placement.discard()
    assert listing(tmp_path) == []


def test_a_late_rename_of_a_loser_fails(tmp_path: Path) -> None:
    loser, winner = Attempt(tmp_path, ["one.txt"], "loser"), Attempt(tmp_path, ["one.txt"], "winner")
    (left,) = loser.write()
    winner.write("older still", "loser")
    assert not left.exists()
    with pytest.raises(PathRefused, match=r"output cannot be placed: .*/one\.txt: No such file or directory"):
        loser.placement.place()
    loser.placement.discard()
    loser.staging.discard()
    winner.placement.place()
    winner.placement.discard()
    assert listing(tmp_path) == ["one.txt"]


def test_a_clean_up_that_was_cut_short_goes_with_the_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loser, winner = Attempt(tmp_path, ["one.txt"], "loser"), Attempt(tmp_path, ["one.txt"], "winner")
    loser.write()
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda *_args, **_kwargs: None)
        winner.write("loser")
    assert listing(tmp_path)[:2] == [staging_name("winner"), f"{staging_name('winner')}/{staging_name('loser')}"]
    winner.placement.discard()
    assert listing(tmp_path) == []


@pytest.mark.parametrize("half", ["staging", "placement"])
def test_either_half_can_discard_alone_and_twice(tmp_path: Path, half: str) -> None:
    (tmp_path / "there").mkdir()
    attempt = Attempt(tmp_path, ["there/one.txt", "a/b/two.txt"])
    attempt.write()
    for _ in range(2):
        getattr(attempt, half).discard()
        assert listing(tmp_path) == ["there"]


def test_a_created_folder_that_others_use_stays(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, ["a/b/one.txt"])
    attempt.write()
    (tmp_path / "a/of somebody else").touch()
    attempt.placement.discard()
    assert listing(tmp_path) == ["a", "a/of somebody else"]


def test_created_folders_are_not_removed_elsewhere_through_a_link(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    attempt = Attempt(root, ["a/b/one.txt"])
    attempt.write()
    (root / "a").rename(tmp_path / "moved")
    (outside / "b").mkdir(parents=True)
    (root / "a").symlink_to(outside)
    attempt.placement.discard()
    attempt.staging.discard()
    assert (outside / "b").is_dir()


def test_a_folder_in_the_way_is_seen_before_anything_is_replaced(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, ["one.txt", "two.txt"])
    (tmp_path / "one.txt").write_bytes(OLD)
    attempt.write()
    (tmp_path / "two.txt").mkdir()
    with pytest.raises(PathRefused, match=r"output path is a folder: .*/two\.txt"):
        attempt.placement.place()
    attempt.placement.discard()
    assert listing(tmp_path) == ["one.txt", "two.txt"]
    assert (tmp_path / "one.txt").read_bytes() == OLD


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_only_regular_files_are_placed(tmp_path: Path, kind: str) -> None:
    attempt = Attempt(tmp_path, ["one.txt"])
    (staged,) = attempt.write()
    staged.unlink()
    if kind == "link":
        staged.symlink_to("/etc/passwd")
    elif kind == "folder":
        staged.mkdir()
    else:
        os.mkfifo(staged)
    with pytest.raises(PathRefused, match="output is unusable"):
        attempt.staging.sync()
    with pytest.raises(PathRefused, match="output is no regular file"):
        attempt.placement.place()
    assert not (tmp_path / "one.txt").exists()


def test_what_lies_beside_the_outputs_is_told(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, ["one.txt", "a/two.txt"])
    one, two = attempt.write()
    one.with_name("two.txt").touch()
    two.with_name("z").touch()
    two.with_name("b").mkdir()
    assert attempt.staging.sync() == ["two.txt", "b", "z"]


def test_the_folder_is_private_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, ["one.txt"])
    (staged,) = attempt.write()
    staged.chmod(0o640)
    assert stat.S_IMODE((tmp_path / staging_name("token")).stat().st_mode) == 0o700
    attempt.placement.place()
    assert stat.S_IMODE((tmp_path / "one.txt").stat().st_mode) == 0o640


def test_staging_lets_go_of_its_folders(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for end in ("close", "discard"):
        attempt = Attempt(tmp_path, ["a/one.txt", "b/two.txt"], end)
        attempt.write()
        getattr(attempt.staging, end)()
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(
    "params", [None, [], "text", {}, {"output_paths": None}, {"output_paths": [1, None, "", "\0"]}]
)
def test_params_of_any_shape_can_be_cleared_up_after(tmp_path: Path, params: object) -> None:
    Placement(params, [tmp_path], "token").discard()
    assert listing(tmp_path) == []


def test_one_job_clears_up_while_another_begins_in_the_same_new_folder(tmp_path: Path) -> None:
    def begin_and_fail(number: int) -> None:
        for round_ in range(25):
            attempt = Attempt(tmp_path, [f"new/folder/{number}.txt"], f"{number}-{round_}")
            attempt.write()
            attempt.staging.discard()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(begin_and_fail, range(4)))
    assert not [name for name in listing(tmp_path) if staging_name("") in name]
