"""Errors of the operating system, as ours."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from poof.errors import DiskFullError, PoofError, ReadOnlyError, StorageError
from poof.raising import raise_alone

NO_ROOM = "There is no room left for {!r}. The write was not made; what was saved is safe."
READ_ONLY = "{!r} or its folder is read-only for this user. Nothing was changed."


@contextmanager
def system_translated(path: str) -> Iterator[None]:
    """Turns every error of the operating system inside the block into one of ours, which names the file."""
    try:
        yield
    except OSError as error:
        raise_alone(os_error(error, path), error)


def os_error(error: OSError, path: str) -> PoofError:
    """Our error for one of the operating system's."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return DiskFullError(NO_ROOM.format(path))
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return ReadOnlyError(READ_ONLY.format(path))
    return StorageError(f"{path!r} could not be written: {error.strerror}.")
