"""A disk on which one call fails, once: the n-th of all that a cluster makes."""

import errno
from collections.abc import Callable
from typing import Any

import apsw

from poof.errors import (
    AccessDeniedError,
    DecryptionError,
    DiskFullError,
    NotAPoofFileError,
    PoofError,
    StorageError,
)
from tests.support.faults.watched import SYSTEM_CALLS, Call

WRITES = {"xWrite", "xTruncate", "xSync"}

ERRNOS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "permission": errno.EACCES}
SQLITE_ERRORS = {
    "EIO": {
        "xRead": "IOERR_READ",
        "xWrite": "IOERR_WRITE",
        "xTruncate": "IOERR_TRUNCATE",
        "xSync": "IOERR_FSYNC",
        "xFileSize": "IOERR_FSTAT",
        "xLock": "IOERR_LOCK",
        "xUnlock": "IOERR_UNLOCK",
        "xDelete": "IOERR_DELETE",
        "xAccess": "IOERR_ACCESS",
        "xOpen": "CANTOPEN",
    },
    "ENOSPC": {"xWrite": "FULL", "xSync": "FULL", "xOpen": "CANTOPEN"},
    "permission": {"xOpen": "CANTOPEN", "xWrite": "PERM", "xDelete": "IOERR_DELETE", "xLock": "IOERR_LOCK"},
    "short read": {"xRead": ""},
}
"""What SQLite's own VFS answers where the system says so."""
KINDS = list(SQLITE_ERRORS)

RIGHT_ERRORS: dict[str, tuple[type[PoofError], ...]] = {
    "EIO": (StorageError, AccessDeniedError),  # what cannot be opened is reported as such, whatever the reason
    "ENOSPC": (DiskFullError, AccessDeniedError),
    "permission": (AccessDeniedError, StorageError),
    "short read": (StorageError, DecryptionError, NotAPoofFileError),  # of a file of 0.x it is what a wrong key is
}


class Failing:
    """For `watched`: fails the call of one number; with 0 it only counts. `calls` are those that could fail so."""

    def __init__(self, kind: str, number: int = 0) -> None:
        self.kind = kind
        self.number = number
        self.calls: list[Call] = []
        self.failed: Call | None = None

    def __call__(self, call: Call, proceed: Callable[[], Any]) -> Any:
        if not self._may_fail(call):
            return proceed()
        self.calls.append(call)
        if len(self.calls) != self.number:
            return proceed()
        self.failed = call
        if self.kind == "short read":
            return proceed()[: call.args[0] // 2]
        if call.name in SYSTEM_CALLS:
            raise OSError(ERRNOS[self.kind], "planned")
        raise apsw.exception_for(getattr(apsw, f"SQLITE_{SQLITE_ERRORS[self.kind][call.name]}"))

    def _may_fail(self, call: Call) -> bool:
        return call.name in SQLITE_ERRORS[self.kind] or (self.kind in ERRNOS and call.name in SYSTEM_CALLS)
