"""inotify: the kernel tells when a file in a folder was written to (inotify(7))."""

import ctypes
import os
import struct
from collections.abc import Iterator

_MODIFIED = 0x2
_MOVED_TO = 0x80
_CREATED = 0x100
_HEADER = struct.Struct("iIII")


class FolderWatch:
    """Watches one folder for writes. Raises OSError where inotify is not to be had."""

    def __init__(self, folder: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "inotify_init1"):
            raise OSError("this system has no inotify")
        self.fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if libc.inotify_add_watch(self.fd, os.fsencode(folder), _MODIFIED | _CREATED | _MOVED_TO) < 0:
            number = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(number, os.strerror(number))

    def names(self) -> Iterator[str]:
        """Yield the names of the files that were written to since the last time."""
        try:
            data = os.read(self.fd, 65_536)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            _watch, _mask, _cookie, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            yield os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
            offset += length

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)
