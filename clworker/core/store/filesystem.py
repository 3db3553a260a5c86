"""Which file system a path lies on.

Some are shared between machines, which neither SQLite's WAL nor our locks are made for.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

_MOUNTS = "/proc/self/mountinfo"
_ESCAPE = re.compile(r"\\([0-7]{3})")
_NETWORK = re.compile(
    r"9p|acfs|afs|beegfs|ceph|cifs|coda|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|orangefs|pvfs2|smb[23]|smbfs|virtiofs"
    r"|fuse\.(sshfs|glusterfs|ceph|cephfs|nfs|smbnetfs|s3fs|rclone|gcsfuse|juicefs|mfs|goofys)"
)


def network_file_system(path: str) -> str | None:
    """Return the type of the network file system that ``path`` lies on; None for a local one, or when unknown."""
    try:
        return _network_type(path, os.stat(path).st_dev)
    except OSError:
        return None


def type_of(path: str, mountinfo: str) -> str | None:
    """Return the type of the file system that a real path lies on, by the text of ``/proc/self/mountinfo``."""
    best, found = "", None
    for line in mountinfo.splitlines():
        before, _separator, after = line.partition(" - ")
        if len(fields := before.split(" ")) < 5 or not after:
            continue
        mount_point = _ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), fields[4]).rstrip("/")
        # Of two on one mount point the later one hides the earlier.
        if len(mount_point) >= len(best) and f"{path}/".startswith(f"{mount_point}/"):
            best, found = mount_point, after.split(" ")[0]
    return found


def is_network(file_system: str | None) -> bool:
    """Tell whether several machines can have a file system of this type mounted at once."""
    return file_system is not None and _NETWORK.fullmatch(file_system) is not None


@lru_cache(maxsize=256)
def _network_type(path: str, _device: int) -> str | None:
    """Look once for each file: rescuers ask again and again. Another device is another file system."""
    found = type_of(os.path.realpath(path), Path(_MOUNTS).read_text(errors="surrogateescape"))
    return found if is_network(found) else None
