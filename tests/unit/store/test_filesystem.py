"""Which file system a path lies on, and what is not trusted on one that several machines share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clworker.core.store import filesystem
from clworker.core.store.filesystem import is_network, network_file_system, type_of
from clworker.core.store.identity import InstanceLock, is_dead
from tests.support.instances import new_instance

MOUNTS = r"""21 28 0:19 / /sys rw,nosuid shared:7 - sysfs sysfs rw
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 28 0:35 / /srv rw shared:9 master:2 - xfs /dev/sdb rw
41 40 0:36 / /srv/media rw - nfs4 server:/media rw,vers=4.2
42 28 0:37 / /mnt/two\040words rw - cifs //server/share rw
43 28 0:38 / /over rw - ext4 /dev/sdc rw
44 28 0:39 / /over rw - fuse.sshfs user@server: rw
a line that is not understood
"""


@pytest.fixture
def on_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the list of mounts says to be on NFS; there is no server to mount one from."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"28 1 8:1 / / rw - ext4 /dev/sda1 rw\n41 28 0:36 / {tmp_path}/shared rw - nfs4 server:/ rw\n")
    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(filesystem, "_MOUNTS", str(mounts))
    filesystem._network_type.cache_clear()
    yield tmp_path / "shared"
    filesystem._network_type.cache_clear()


@pytest.mark.parametrize(
    ("path", "file_system"),
    [
        ("/", "ext4"),
        ("/home/user", "ext4"),
        ("/sys/kernel", "sysfs"),
        ("/srv", "xfs"),
        ("/srv/media", "nfs4"),
        ("/srv/media/a/b.db", "nfs4"),
        ("/srv/media2", "xfs"),
        ("/mnt/two words/x", "cifs"),
        ("/over/x", "fuse.sshfs"),
    ],
)
def test_the_innermost_and_latest_mount_counts(path: str, file_system: str) -> None:
    assert type_of(path, MOUNTS) == file_system


def test_without_a_mount_nothing_is_known() -> None:
    assert type_of("/srv", "") is None


@pytest.mark.parametrize("name", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "virtiofs", "fuse.sshfs"])
def test_these_are_network_file_systems(name: str) -> None:
    assert is_network(name)


@pytest.mark.parametrize("name", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.lxcfs", None])
def test_these_are_local(name: str | None) -> None:
    assert not is_network(name)


def test_a_path_is_looked_up_behind_its_links(on_network: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(on_network)
    assert network_file_system(str(tmp_path / "link")) == "nfs4"
    assert network_file_system(str(tmp_path)) is None
    assert network_file_system(str(on_network / "missing")) is None


def test_a_free_lock_proves_no_death_on_a_network_file_system(on_network: Path, tmp_path: Path) -> None:
    for folder, proof in ((tmp_path, True), (on_network, None)):
        with InstanceLock(folder / "media_store.db", new_instance()) as lock:
            lock.needed_as_proof = True
        assert is_dead(lock.file) is proof
