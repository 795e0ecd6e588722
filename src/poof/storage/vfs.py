"""The SQLite VFS that stores every page as a token: the only place where plaintext meets a file.

Layer: storage; the only `x*` overrides of APSW (https://rogerbinns.github.io/apsw/vfs.html).

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

import contextlib
import os
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import apsw
from cryptography.fernet import InvalidToken

from poof.errors import (
    DamagedFileError,
    DamagedPageError,
    PoofError,
    ReadOnlyError,
    StorageError,
    TruncatedFileError,
    WrongKeyError,
)
from poof.format.frames import CHECKSUMS_OFFSET, CLEAR_SIZE, SALTS_SIZE, FrameHeaderCodec, FramePages
from poof.format.layout import (
    CONTENT_SIZE,
    FRAME_HEADER_SIZE,
    FRAME_SIZE,
    HEADER_BLOCK_SIZE,
    LOCK_PAGE,
    PAGE_NUMBER_SIZE,
    PAGE_SIZE,
    RESERVED_SIZE,
    WAL_HEADER_SIZE,
    file_size,
    frame_position,
    page_count,
    page_offset,
)
from poof.format.pages import PageCodec
from poof.keys.kdf import KEY_SIZE
from poof.storage import headers
from poof.storage.headers import Believed, DataKeys

MEMORY = ":memory:"
MEMORY_BASE = "memdb"
"""SQLite's own VFS of files that live in memory."""

# The shapes of what SQLite reads and writes in the log: how much, and where. In its header, from offset 0:
_CHECKSUMS_SIZE = FRAME_HEADER_SIZE - CHECKSUMS_OFFSET
_LOG_HEADER = (WAL_HEADER_SIZE, 0)
_LOG_HEADER_CHECKSUMS = (_CHECKSUMS_SIZE, WAL_HEADER_SIZE - _CHECKSUMS_SIZE)
# and after it, from the start of a frame:
_FRAME = (FRAME_SIZE, 0)
_FRAME_HEADER = (FRAME_HEADER_SIZE, 0)
_FRAME_CHECKSUMS = (_CHECKSUMS_SIZE, CHECKSUMS_OFFSET)
_FRAME_PAGE = (PAGE_SIZE, FRAME_HEADER_SIZE)

_KEPT_CHARACTERISTICS = apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE | apsw.SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN
_SQLITE_PAGE_COUNT = slice(28, 32)
"""Where SQLite's own header, at the start of page 1, holds the number of pages."""
_LOG_PAGE_FORMAT = struct.pack(">II", 3007000, PAGE_SIZE)
"""Version and page size in the header of every log, from offset 4."""
_LOG_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_LOG_SALTS = slice(16, 24)
"""Where the header of the log holds the salts of its frames."""
_NO_SALTS = bytes(SALTS_SIZE)
_DESCRIPTORS = "/dev/fd"
"""Where Linux and macOS list the open descriptors of the process."""
_STEP = 16 * 1024 * 1024
"""How much of a file is given back to the system at once."""
_RESERVED = bytes(RESERVED_SIZE)
_EMPTY_PAGE = bytes(PAGE_SIZE)


class ClusterVFS(apsw.VFS):
    """A VFS for the connections to one cluster file.

    `base` names the VFS below, the system's own by default; `label` is what errors call the file; `read_only` lets
    files be opened that cannot be written; `immutable` says that nobody can write the file, so that SQLite needs no
    locks and no files beside it. `previous` is the data key before, while it is being replaced; `user_keys` lead to the
    next one, and others may add to them.
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
        previous: bytes | None = None,
        user_keys: Sequence[bytes] = (),
    ) -> None:
        self.name = f"poof-{secrets.token_hex(8)}"
        self.path = path
        self.label = label or (MEMORY if base == MEMORY_BASE else path)
        self.base = base
        self.read_only = read_only
        self.immutable = immutable
        self.last_opened = (0, b"", b"")
        """The page that was last read from the log: its number, and itself as SQLite and as the file has it."""
        self.keys = DataKeys(data_key, previous)
        self.main: MainFile | None = None
        """The cluster file, while it is open."""
        self.log: WalFile | None = None
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
            self.main = MainFile(self, name, flags)
            return self.main
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            self.log = WalFile(self, name, flags)
            return self.log
        if flags[0] & apsw.SQLITE_OPEN_TEMP_DB:
            return TemporaryFile(self, flags)
        _fail(
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
            _fail(apsw.SQLITE_IOERR_DATA, error)

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


class _EncryptedFile(apsw.VFSFile):
    """What the main file and the log have in common.

    `xRead` returns any buffer, where the stubs of APSW know only `bytes`: APSW copies it before the next call.
    """

    def __init__(self, vfs: ClusterVFS, name: str | apsw.URIFilename | None, flags: list[int], room: int = 0) -> None:
        super().__init__(vfs.base, name, flags)
        if not vfs.read_only and flags[0] & apsw.SQLITE_OPEN_READWRITE and flags[1] & apsw.SQLITE_OPEN_READONLY:
            _fail(
                apsw.SQLITE_READONLY,
                ReadOnlyError(f"{vfs.label!r} is read-only for this user; nothing was changed."),
            )
        self._vfs = vfs
        flags[1] &= ~apsw.SQLITE_OPEN_MEMORY  # or SQLite would turn journalling off
        self._label = vfs.label
        self._filename = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._room = room
        self.use(vfs.keys)
        # SQLite asks often. Without "subpage read" it always reads whole pages, without "atomic" it takes no short
        # cuts.
        self._characteristics = super().xDeviceCharacteristics() & _KEPT_CHARACTERISTICS
        if vfs.immutable:
            self._characteristics |= apsw.SQLITE_IOCAP_IMMUTABLE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return self._characteristics

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._flush()
        super().xSync(flags)

    def _flush(self) -> None:
        """Does most of the work of a sync while other threads run, which they cannot while SQLite's own sync does it.

        Only that: it may find no descriptor, or flush another connection's, and what counts is the sync after it.
        """
        with contextlib.suppress(OSError):
            descriptor = self._descriptor()
            if descriptor is not None:
                os.fsync(descriptor)

    def _descriptor(self) -> int | None:
        """A descriptor of this file, or of another connection to it: where there is one, the path still leads to it."""
        file = Path(self._filename).stat()
        for name in (path.name for path in Path(_DESCRIPTORS).iterdir()):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(int(name)), file):
                    return int(name)
        return None

    def use(self, keys: DataKeys) -> None:
        """Seals with the current one of these data keys from now on, and opens with either."""
        self._pages = PageCodec(keys.current, self._room)
        self._older = None if keys.previous is None else PageCodec(keys.previous)

    def _open(self, number: int, slot: bytes | memoryview) -> memoryview:
        try:
            return self._pages.open(number, slot)
        except InvalidToken:
            known = self._vfs.keys
            if self._vfs.has_previous() and self._vfs.keys == known and self._older is not None:
                with contextlib.suppress(InvalidToken):
                    return self._older.open(number, slot)
            if self._vfs.keys == known and not self._vfs.follow():
                raise
        return self._open(number, slot)

    def _shorten(self, size: int) -> None:
        """Cuts the file in steps: to free much at once takes long, and no other thread runs meanwhile."""
        for end in range(super().xFileSize() - _STEP, size, -_STEP):
            super().xTruncate(end)
        super().xTruncate(size)

    def _seal(self, number: int, page: bytes | memoryview) -> memoryview:
        if page[CONTENT_SIZE:] != _RESERVED:
            # Would be lost, and the log's checksums with it: SQLite computes them over the page as it has it.
            self._refuse(apsw.SQLITE_IOERR_WRITE, "SQLite wrote into the reserved bytes of a page")
        return self._pages.seal(number, page)

    def _refuse(self, code: int, what: str) -> NoReturn:
        _fail(code, StorageError(f"{what} of {self._label!r}. Nothing was changed; please report this."))

    def _damaged(self, number: int, place: str) -> NoReturn:
        reason = (
            f"page {number} in {place} {self._label!r} is damaged or was altered. Nothing was changed. "
            "Restore the file from a backup."
        )
        _fail(apsw.SQLITE_IOERR_DATA, DamagedPageError(reason, number))


class MainFile(_EncryptedFile):
    """The cluster file as SQLite sees it: pages only, from offset 0, in the clear."""

    def __init__(self, vfs: ClusterVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(vfs, name, flags)
        self._new = bool(flags[0] & apsw.SQLITE_OPEN_CREATE)

    def xRead(self, amount: int, offset: int) -> bytes | memoryview:  # type: ignore[override]  # noqa: N802
        # A whole page; or, of page 1, the 100 bytes of SQLite's header or the 16 at offset 24.
        index, start = divmod(offset, PAGE_SIZE)
        if start + amount > PAGE_SIZE:
            self._refuse(apsw.SQLITE_IOERR_READ, f"SQLite read {amount} bytes at {offset}")
        number = index + 1
        slot = super().xRead(PAGE_SIZE, page_offset(number))
        if len(slot) < PAGE_SIZE:
            if self._new and self.xFileSize() == 0:
                return b""
            self._truncated(number)
        try:
            page = self._open(number, slot)
        except InvalidToken:
            self._damaged(number, "the file")
        if number == 1 and amount == PAGE_SIZE and not self._new:
            # Read whole, and from here instead of the log, this is the first page of a complete file.
            last = int.from_bytes(page[_SQLITE_PAGE_COUNT], "big")
            if last * PAGE_SIZE > self.xFileSize():
                self._truncated(last)
        return page[start : start + amount]

    def xWrite(self, data: bytes | memoryview, offset: int) -> None:  # noqa: N802
        index, start = divmod(offset, PAGE_SIZE)
        if start or len(data) != PAGE_SIZE:
            self._refuse(apsw.SQLITE_IOERR_WRITE, f"SQLite wrote {len(data)} bytes at {offset}")
        self._fill_up_to(index)
        number, page, token = self._vfs.last_opened
        # A checkpoint: the token in the log is the one to go into the file.
        stored = token if number == index + 1 and page == data else self._seal(index + 1, data)
        super().xWrite(stored, page_offset(index + 1))
        if self._vfs.on_copied is not None:
            self._vfs.on_copied()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        pages = -(-newsize // PAGE_SIZE)
        self._fill_up_to(pages)
        self._shorten(file_size(pages))

    def xFileSize(self) -> int:  # noqa: N802
        return page_count(super().xFileSize()) * PAGE_SIZE

    def xClose(self) -> None:  # noqa: N802
        self._vfs.main = None
        super().xClose()

    def read_header(self) -> bytes:
        """The header block as it is in the file now."""
        return super().xRead(HEADER_BLOCK_SIZE, 0)

    def write_header(self, offset: int, copy: bytes) -> None:
        """Writes one copy of the header, and waits until it is on the disk."""
        super().xWrite(copy, offset)
        self.xSync(apsw.SQLITE_SYNC_FULL)

    def is_current(self, number: int) -> bool:
        """Whether a page in the file is sealed with the current data key."""
        try:
            self._pages.open(number, super().xRead(PAGE_SIZE, page_offset(number)))
        except InvalidToken:
            return False
        return True

    def _truncated(self, number: int) -> NoReturn:
        reason = (
            f"{self._label!r} is truncated: page {number} is missing. Nothing was changed. "
            "Restore the file from a backup."
        )
        _fail(apsw.SQLITE_IOERR_DATA, TruncatedFileError(reason))

    def _fill_up_to(self, pages: int) -> None:
        """Makes every page up to this one exist: SQLite may leave a freed one unwritten, and a hole would be damage."""
        for number in range(self.xFileSize() // PAGE_SIZE + 1, pages + 1):
            if number != LOCK_PAGE:
                super().xWrite(self._pages.seal(number, _EMPTY_PAGE), page_offset(number))


class WalFile(_EncryptedFile):
    """The write-ahead log as SQLite sees it (https://sqlite.org/fileformat2.html#walformat), in the clear.

    SQLite writes the header of a frame and then its page. The header waits for the page, and both are written at once:
    a write costs as much as half the cryptography of a page.
    """

    def __init__(self, vfs: ClusterVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._waiting: int | None = None
        """The offset of the frame whose header waits in `_frame_header`."""
        super().__init__(vfs, name, flags, room=FRAME_HEADER_SIZE)
        self._recovering = False
        self._salts = b""
        """The salts of the log as it was last seen; every frame that is in use has them."""
        self._written = FramePages()
        """The page numbers of the frames that were written since the log was begun, by offset."""
        self._repaired: int | None = None
        """The offset of the frame that was just read whole, to be summed up anew: only its header will be written."""

    def xRead(self, amount: int, offset: int) -> bytes | memoryview:  # type: ignore[override]  # noqa: N802
        self._write_waiting()
        self._repaired = None
        if offset < WAL_HEADER_SIZE:
            return self._read_log_header(amount, offset)
        frame, position = frame_position(offset)
        shape = (amount, position)
        if shape == _FRAME_PAGE:
            return self._read_page(frame)
        if shape == _FRAME:
            self._repaired = frame
            return self._read_frame(frame)
        if shape == _FRAME_CHECKSUMS:
            self._recovering = False
            return self._open_header(super().xRead(FRAME_HEADER_SIZE, frame), frame)[CHECKSUMS_OFFSET:]
        self._refuse(apsw.SQLITE_IOERR_READ, f"SQLite read {amount} bytes at {offset} in the log")

    def xWrite(self, data: bytes | memoryview, offset: int) -> None:  # noqa: N802
        self._recovering = False
        if (len(data), offset) == _LOG_HEADER:
            self._write_waiting()
            self._written.clear()
            super().xWrite(data, offset)
            return
        frame, position = frame_position(offset)
        shape = (len(data), position)
        if shape == _FRAME_HEADER:
            self._write_header(data, frame)
        elif shape == _FRAME_PAGE and frame in self._written:
            # After its header; or alone, where a page is written anew later in its transaction.
            self._write_page(data, frame)
        else:
            self._refuse(apsw.SQLITE_IOERR_WRITE, f"SQLite wrote {len(data)} bytes at {offset} in the log")

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._write_waiting()
        super().xSync(flags)

    def xFileSize(self) -> int:  # noqa: N802
        self._write_waiting()
        return super().xFileSize()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._write_waiting()
        # That takes its time for a long log. As with a sync, other threads run meanwhile, and what counts is SQLite's
        # own. By the path: a descriptor may be closed just now, and become another file's. In one step: half a log is
        # an old log.
        with contextlib.suppress(OSError):
            if self._descriptor() is not None:
                os.truncate(self._filename, newsize)
        super().xTruncate(newsize)

    def xClose(self) -> None:  # noqa: N802
        self._vfs.log = None
        super().xClose()

    def use(self, keys: DataKeys) -> None:
        """As for the main file; the headers of frames have their keys from the same data keys."""
        self._write_waiting()
        super().use(keys)
        self._frame_header = self._pages.buffer[:FRAME_HEADER_SIZE]
        self._headers = [FrameHeaderCodec(key) for key in (keys.current, keys.previous) if key is not None]

    def _write_header(self, header: bytes | memoryview, frame: int) -> None:
        self._write_waiting()
        self._written[frame] = int.from_bytes(header[:PAGE_NUMBER_SIZE], "big")
        self._frame_header[:] = self._headers[0].seal(header, frame)
        self._waiting = frame
        if frame == self._repaired:
            self._write_waiting()

    def _write_page(self, page: bytes | memoryview, frame: int) -> None:
        if self._vfs.on_page is not None:
            self._vfs.on_page()
        token = self._seal(self._written[frame], page)
        if frame == self._waiting:
            self._waiting = None
            super().xWrite(self._pages.buffer, frame)
        else:
            self._write_waiting()
            super().xWrite(token, frame + FRAME_HEADER_SIZE)

    def _write_waiting(self) -> None:
        """Writes a header that waits for its page, before anything else is done to the file."""
        if self._waiting is not None:
            frame, self._waiting = self._waiting, None
            super().xWrite(self._frame_header, frame)

    def _read_log_header(self, amount: int, offset: int) -> bytes:
        if (amount, offset) == _LOG_HEADER:
            # What follows, frame by frame, is the recovery of a log that another connection left behind. It ends with
            # the log, or with a read of other shape: the repair of checksums reads whole frames too, but checksums
            # first.
            self._recovering = True
        elif (amount, offset) == _LOG_HEADER_CHECKSUMS:
            self._recovering = False
        else:
            self._refuse(apsw.SQLITE_IOERR_READ, f"SQLite read {amount} bytes at {offset} in the log")
        header = super().xRead(amount, offset)
        if offset == 0 and header[:4] in _LOG_MAGIC and header[4:12] != _LOG_PAGE_FORMAT:
            reason = f"the header of the log of {self._label!r} is damaged or was altered. Nothing was changed."
            _fail(apsw.SQLITE_IOERR_DATA, DamagedFileError(reason))
        return header

    def _read_page(self, frame: int) -> bytes:
        stored = memoryview(super().xRead(FRAME_SIZE, frame))
        number = int.from_bytes(stored[:PAGE_NUMBER_SIZE], "big")
        try:
            self._check_place(stored, frame)
            page = bytes(self._open(number, stored[FRAME_HEADER_SIZE:]))
        except InvalidToken:
            self._damaged(number, "the log of")
        self._vfs.last_opened = number, page, bytes(stored[FRAME_HEADER_SIZE:])
        return page

    def _check_place(self, stored: memoryview, frame: int) -> None:
        """Refuses a frame that was not written here, in this log: SQLite would take it for the page it looks for."""
        if not self._belongs_here(self._open_header(stored, frame), frame):
            raise InvalidToken

    def _open_header(self, stored: bytes | memoryview, frame: int) -> bytes:
        """SQLite's header of a frame, by the key under which it belongs here, if there is one."""
        for codec in self._headers:
            header = codec.open(stored, frame)
            if self._belongs_here(header, frame):
                return header
        return self._open_header(stored, frame) if self._vfs.follow() else header

    def _belongs_here(self, header: bytes, frame: int) -> bool:
        salts = header[CLEAR_SIZE:CHECKSUMS_OFFSET]
        if salts == self._salts:
            return True
        number = int.from_bytes(header[:PAGE_NUMBER_SIZE], "big")
        if salts == _NO_SALTS and frame in self._written and self._written[frame] == number:
            return True  # one of our own, which gets its salts and checksums when the transaction is committed
        self._salts = super().xRead(WAL_HEADER_SIZE, 0)[_LOG_SALTS]  # another connection may have begun the log anew
        return salts == self._salts

    def _read_frame(self, frame: int) -> bytes:
        stored = memoryview(super().xRead(FRAME_SIZE, frame))
        number = int.from_bytes(stored[:PAGE_NUMBER_SIZE], "big")
        try:
            page = self._open(number, stored[FRAME_HEADER_SIZE:])
        except InvalidToken:
            if self._recovering:
                # A crash may have torn the last frames. Zeros are no valid frame: SQLite ends the log before it.
                return bytes(FRAME_SIZE)
            self._damaged(number, "the log of")
        return self._open_header(stored[:FRAME_HEADER_SIZE], frame) + page


class TemporaryFile(_EncryptedFile):
    """The temporary database of a VACUUM: pages under a key that nobody else ever has, beside the cluster file.

    SQLite deletes it when it is closed, and POSIX its name as soon as it is open, so that no crash leaves it behind.
    """

    def __init__(self, vfs: ClusterVFS, flags: list[int]) -> None:
        path = str(Path(vfs.path).with_name(f".poof-{secrets.token_hex(8)}.tmp"))
        super().__init__(vfs, path, flags)
        self.use(DataKeys(secrets.token_bytes(KEY_SIZE)))
        self._written = bytearray()
        """For each page, whether it was written: SQLite may read one that was not."""

    def xRead(self, amount: int, offset: int) -> bytes | memoryview:  # type: ignore[override]  # noqa: N802
        index, start = divmod(offset, PAGE_SIZE)
        if start + amount > PAGE_SIZE:
            self._refuse(apsw.SQLITE_IOERR_READ, f"SQLite read {amount} bytes at {offset} in a temporary file")
        if index >= len(self._written) or not self._written[index]:
            return b""
        try:
            page = self._pages.open(index + 1, super().xRead(PAGE_SIZE, index * PAGE_SIZE))
        except InvalidToken:
            self._damaged(index + 1, "a temporary file of")
        return page[start : start + amount]

    def xWrite(self, data: bytes | memoryview, offset: int) -> None:  # noqa: N802
        index, start = divmod(offset, PAGE_SIZE)
        if start or len(data) != PAGE_SIZE:
            self._refuse(apsw.SQLITE_IOERR_WRITE, f"SQLite wrote {len(data)} bytes at {offset} in a temporary file")
        if self._vfs.on_page is not None:
            self._vfs.on_page()
        super().xWrite(self._seal(index + 1, data), index * PAGE_SIZE)
        self._written.extend(bytes(max(0, index + 1 - len(self._written))))
        self._written[index] = True

    def xClose(self) -> None:  # noqa: N802
        with contextlib.suppress(apsw.Error):  # it goes away all the same
            self._shorten(0)
        super().xClose()


def _fail(code: int, error: PoofError) -> NoReturn:
    raise apsw.exception_for(code) from error
