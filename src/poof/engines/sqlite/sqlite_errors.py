"""Errors of APSW and of the operating system, turned into ours.

The errors of every call into SQLite pass through here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import apsw

from poof.errors import (
    AccessDeniedError,
    BusyError,
    ClosedError,
    DamagedFileError,
    DiskFullError,
    GoneError,
    NoMemoryError,
    PoofError,
    ReadOnlyError,
    StorageError,
)
from poof.raising import raise_alone
from poof.system_errors import NO_ROOM, READ_ONLY


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turns every error of SQLite inside the block into one of ours, which names the file."""
    try:
        yield
    except (apsw.Error, MemoryError) as error:
        raise_translated(error, path)


def raise_translated(error: BaseException, path: str) -> NoReturn:
    """Raises our error for one of SQLite's, in the `except` block of that; any other error as it is."""
    ours = translation(error, path)
    if ours is error:
        raise error
    raise_alone(ours, None if ours is error.__cause__ else error.__cause__)


def translation(error: BaseException, path: str) -> BaseException:
    """Our error for one of SQLite's. One that our VFS raised comes back as it was; any other error is left as it is."""
    if isinstance(error, PoofError):
        return error
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
            return DiskFullError(NO_ROOM.format(path))
        case apsw.ReadOnlyError():
            return ReadOnlyError(READ_ONLY.format(path))
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
        case apsw.NoMemError() | MemoryError():
            return NoMemoryError(
                f"There was not enough memory to work on {path!r}. Nothing was changed; what was saved is safe. Read "
                "large results in parts, by a loop over find() or with limit()."
            )
        case apsw.SQLError() if "no such table: documents_" in str(error):
            return GoneError(
                "The collection is gone: it was dropped, or the transaction that created it was rolled back."
            )
        case apsw.TooBigError():
            return StorageError(f"A value is too large to be stored in {path!r}. Nothing was changed.")
    return error
