"""The SQLite VFS that stores every page as a token: the only place where plaintext meets a file.

Layer: storage; it makes the files of `pagefiles`, `logfile` and `committed`, which with it are the only `x*` overrides
of APSW (https://rogerbinns.github.io/apsw/vfs.html). What they share is in `state`.

Invariants:
- No byte of a page reaches the base VFS but inside a token, and no page is returned that did not authenticate as the
  page asked for. A hole or a missing end of the file is damage, never zeros.
- Only the main file, its write-ahead log and the temporary database of a VACUUM are ever opened. A rollback journal
  beside the file is not believed: a cluster never writes one, and SQLite would copy plaintext pages out of it.
- SQLite reads and writes in few shapes, all listed in the files. Any other is refused, not guessed at.

An error raised in here reaches the caller through APSW: an SQLite error code for SQLite, caused by our own error.
"""

import secrets
import time

import apsw

from poof.engines.sqlite.pages.committed import Committed, CommittedFile
from poof.engines.sqlite.pages.log_file import WalFile
from poof.engines.sqlite.pages.main_file import EncryptedFile, MainFile, TemporaryFile, fail, refusing
from poof.engines.sqlite.pages.state import MEMORY_BASE, ClusterState
from poof.errors import StorageError


class ClusterVFS(apsw.VFS):
    """A VFS for the connections to one cluster file.

    `committed` is the state of a cluster in memory that is read instead of the file.
    """

    def __init__(self, state: ClusterState, committed: Committed | None = None) -> None:
        self.name = f"poof-{secrets.token_hex(8)}"
        self._state = state
        self._committed = committed
        super().__init__(self.name, state.base)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        file = self._make(name, flags)
        file.vfs = self
        return file

    def _make(self, name: str | apsw.URIFilename | None, flags: list[int]) -> EncryptedFile:
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            if self._committed is not None:
                return CommittedFile(self._state, name, flags, self._committed)
            return MainFile(self._state, name, flags)
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            return WalFile(self._state, name, flags)
        if flags[0] & apsw.SQLITE_OPEN_TEMP_DB:
            return TemporaryFile(self._state, flags)
        fail(
            apsw.SQLITE_CANTOPEN,
            StorageError(f"PoofDB refused to open a plaintext file beside {self._state.label!r}."),
        )

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return False if pathname.endswith("-journal") else super().xAccess(pathname, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        with refusing():
            self._state.log_goes()
        if self._state.base != MEMORY_BASE:  # whose files end with their last handle
            super().xDelete(filename, syncdir)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        time.sleep(microseconds / 1e6)  # lets other threads run, which the system's VFS under APSW does not
        return microseconds
