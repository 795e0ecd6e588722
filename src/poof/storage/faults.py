"""Errors of APSW and of the operating system, turned into ours.

Layer: storage. Every call into SQLite has its errors pass through here.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from poof.errors import (
    AccessDeniedError,
    BusyError,
    ClosedError,
    DamagedFileError,
    DiskFullError,
    GoneError,
    PoofError,
    ReadOnlyError,
    StorageError,
)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turns every error of SQLite inside the block into one of ours, which names the file."""
    try:
        yield
    except apsw.Error as error:
        raise translation(error, path) from error.__cause__


def translation(error: BaseException, path: str) -> BaseException:
    """Our error for one of SQLite's. One that our VFS raised comes back as it was; any other error is left as it is."""
    if isinstance(error.__cause__, PoofError):
        return error.__cause__
    match error:
        case apsw.ConnectionClosedError():
            return ClosedError(f"The cluster {path!r} is closed.")
        case apsw.BusyError() | apsw.LockedError():
            return BusyError(
                f"{path!r} is locked by another process or connection, and stayed so for the whole timeout. "
                "Nothing was changed; try again, or pass a longer timeout= to create()."
            )
        case apsw.FullError():
            return DiskFullError(_NO_ROOM.format(path))
        case apsw.ReadOnlyError():
            return ReadOnlyError(_READ_ONLY.format(path))
        case apsw.CantOpenError() | apsw.PermissionsError():
            return AccessDeniedError(
                f"{path!r} could not be opened. Check the permissions of the file and of its folder, which must let "
                "this user create the files '-wal' and '-shm' beside it."
            )
        case apsw.CorruptError() | apsw.NotADBError():
            return DamagedFileError(
                f"the pages of {path!r} are authentic but do not fit together, as when pages or the file's end were "
                "taken from an older copy. Restore the file from a backup."
            )
        case apsw.IOError():
            return StorageError(
                f"The operating system failed to read or write {path!r} ({error}). "
                "What was saved is safe; check the disk."
            )
        case apsw.NoMemError():
            return MemoryError(f"There was not enough memory to work on {path!r}.")
        case apsw.SQLError() if "no such table: documents_" in str(error):
            return GoneError(
                "The collection is gone: it was dropped, or the transaction that created it was rolled back."
            )
        case apsw.TooBigError():
            return StorageError(f"A value is too large to be stored in {path!r}. Nothing was changed.")
    return error


@contextmanager
def system_translated(path: str) -> Iterator[None]:
    """Turns every error of the operating system inside the block into one of ours, which names the file."""
    try:
        yield
    except OSError as error:
        raise os_error(error, path) from error


def os_error(error: OSError, path: str) -> PoofError:
    """Our error for one of the operating system's."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return DiskFullError(_NO_ROOM.format(path))
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return ReadOnlyError(_READ_ONLY.format(path))
    return StorageError(f"{path!r} could not be written: {error.strerror}.")


_NO_ROOM = "There is no room left for {!r}. The write was not made; what was saved is safe."
_READ_ONLY = "{!r} or its folder is read-only for this user. Nothing was changed."
