"""The SQLite VFS that stores every page as a token: the only place where plaintext meets a file.

Layer: storage; with `pagefiles` and `logfile` the only `x*` overrides of APSW
(https://rogerbinns.github.io/apsw/vfs.html).

Invariants:
- No byte of a page reaches the base VFS but inside a token, and no page is returned that did not authenticate as the
  page asked for. A hole or a missing end of the file is damage, never zeros.
- Only the main file, its write-ahead log and the temporary database of a VACUUM are ever opened. A rollback journal
  beside the file is not believed: a cluster never writes one, and SQLite would copy plaintext pages out of it.
- What is sealed is sealed with the current data key. A page that does not open with it may be sealed with the one
  before; or the data key was replaced by another process, which the header tells.
- SQLite reads and writes in few shapes, all listed here. Any other is refused, not guessed at.

An error raised in here reaches the caller through APSW: an SQLite error code for SQLite, caused by our own error.
"""

import secrets
import time
from collections.abc import Callable, Sequence

import apsw

from poof.errors import PoofError, StorageError, WrongKeyError
from poof.format.frames import FramePages
from poof.storage import headers
from poof.storage.committed import Commit, Committed, CommittedFile
from poof.storage.headers import Believed, DataKeys
from poof.storage.logfile import WalFile
from poof.storage.pagefiles import MainFile, TemporaryFile, fail

MEMORY = ":memory:"
MEMORY_BASE = "memdb"
"""SQLite's own VFS of files that live in memory."""


class ClusterVFS(apsw.VFS):
    """A VFS for the connections to one cluster file.

    `base` names the VFS below, the system's own by default; `label` is what errors call the file; `read_only` lets
    files be opened that cannot be written; `immutable` says that nobody can write the file, so that SQLite needs no
    locks and no files beside it; `committed` is the state of a cluster in memory that is read instead of the file.
    `previous` is the data key before, while it is being replaced; `user_keys` lead to the next one, and others may add
    to them.
    """

    def __init__(
        self,
        path: str,
        data_key: bytes,
        base: str = "",
        label: str | None = None,
        *,
        read_only: bool = False,
        immutable: bool = False,
        committed: Committed | None = None,
        previous: bytes | None = None,
        user_keys: Sequence[bytes] = (),
    ) -> None:
        self.name = f"poof-{secrets.token_hex(8)}"
        self.path = path
        self.label = label or (MEMORY if base == MEMORY_BASE else path)
        self.base = base
        self.read_only = read_only
        self.immutable = immutable
        self.committed = committed
        self.last_opened: tuple[int, bytes, bytes | memoryview] = (0, b"", b"")
        """The page that was last read from the log: its number, and itself as SQLite and as the file has it."""
        self.keys = DataKeys(data_key, previous)
        self.main: MainFile | None = None
        """The cluster file, while it is open."""
        self.log: WalFile | None = None
        self.commit = Commit(FramePages(), 0)
        """The last one in the log; kept up to date in memory only."""
        self.on_page: Callable[[], None] | None = None
        """Called before a page is written to the log or to a temporary database; where it raises, SQLite gives up."""
        self.on_copied: Callable[[], None] | None = None
        """Called when a page was copied from the log into the file."""
        self._user_keys = user_keys
        self._block = b""
        """The header block as it was last believed."""
        super().__init__(self.name, base)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            committed = self.committed
            self.main = (
                CommittedFile(self, name, flags, committed) if committed is not None else MainFile(self, name, flags)
            )
            return self.main
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            self.log = WalFile(self, name, flags)
            return self.log
        if flags[0] & apsw.SQLITE_OPEN_TEMP_DB:
            return TemporaryFile(self, flags)
        fail(
            apsw.SQLITE_CANTOPEN,
            StorageError(f"PoofDB refused to open a plaintext file beside {self.label!r}."),
        )

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return False if pathname.endswith("-journal") else super().xAccess(pathname, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if self.base != MEMORY_BASE:  # whose files end with their last handle
            super().xDelete(filename, syncdir)

    def header(self) -> Believed:
        """The newest header of the file; from now on its data keys are used.

        Raises:
            KeyReplacedError: there is a newer one, to which neither the data key nor a user key belongs.
            DamagedHeaderError: no copy is readable.
        """
        if self.main is None:
            raise AssertionError("a header is read while the file is open")
        block = self.main.read_header()
        believed = self.believe(headers.newest(block, self.keys.current, self._user_keys, self.label))
        self._block = block
        return believed

    def change_header(self, old: Believed, new: Believed) -> Believed:
        """Replaces the header that was just read, for whoever keeps all others from changing it meanwhile.

        Raises:
            WrongKeyError: no user key has a slot any more.
            LimitError: the new header does not fit.
        """
        if self.main is None:
            raise AssertionError("a header is changed while the file is open")
        if not headers.opens(old, self._user_keys):
            raise WrongKeyError(
                f"the key that {self.label!r} was opened with was removed, so it changes no keys any more. Nothing was "
                "changed. Open it again with a key or password that is in use."
            )
        for offset, copy in headers.writes(self.main.read_header(), old, new):
            self.main.write_header(offset, copy)
        return self.believe(new)

    def believe(self, header: Believed) -> Believed:
        """Goes over to the data keys of a header."""
        if header.keys != self.keys:
            self.keys = header.keys
            self.last_opened = (0, b"", b"")  # its token may be of a key that must not come into the file any more
            for file in (self.main, self.log):
                if file is not None:
                    file.use(self.keys)
        return header

    def follow(self) -> bool:
        """Whether the header, read anew, names other data keys than those that were used so far."""
        known = self.keys
        if not self._user_keys or self.main is None:
            return False
        try:
            return self.header().keys != known
        except PoofError as error:
            fail(apsw.SQLITE_IOERR_DATA, error)

    def has_previous(self) -> bool:
        """Whether pages may be under the data key before. Cheap, as long as the header stays as it was read."""
        if self.keys.previous is None or not self._user_keys or self.main is None:
            return self.keys.previous is not None
        if self.main.read_header() != self._block:
            self.follow()
        return self.keys.previous is not None

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        time.sleep(microseconds / 1e6)  # lets other threads run, which the system's VFS under APSW does not
        return microseconds
