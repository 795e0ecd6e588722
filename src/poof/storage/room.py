"""Room in a file, before anything is written there.

Layer: storage.

On many file systems whoever makes a file longer waits while another file, or this one, is synced, for as long as that
takes; whoever writes where there is room already does not. So a long log gets room before it is synced beside writes.
"""

import contextlib
import ctypes
import os
import sys

_SPARE = 8
"""How many times the room that is made must be free on the disk."""

_system = ctypes.CDLL(None) if sys.platform == "linux" else None
# Not `os.posix_fallocate`: where a file system cannot do it, the C library writes into each block instead, beside
# whoever writes there just now.
_fallocate = getattr(_system, "fallocate64", None) or getattr(_system, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def make_room(path: str, size: int) -> None:
    """Makes a file so long, with zeros at its end, where the system can do that in one step and the disk has plenty.

    What is in the file stays as it is, whoever else writes it. It must be one that SQLite does not lock: the file is
    opened and closed here, which would end the locks of this process on it.
    """
    if _fallocate is None:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            end = os.fstat(descriptor).st_size
            disk = os.fstatvfs(descriptor)
            if end < size and disk.f_bavail * disk.f_frsize > _SPARE * (size - end):
                _fallocate(descriptor, 0, end, size - end)
        finally:
            os.close(descriptor)
