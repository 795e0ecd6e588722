"""Files as SQLite sees them: in the clear on its side, tokens on the disk's.

Layer: storage; what all of them have in common, and those that hold nothing but pages: the main file, a temporary one.
The invariants are those of `storage.vfs`, which opens them.
"""

import contextlib
import os
import secrets
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import apsw
from cryptography.fernet import InvalidToken

from poof.engines.sqlite.pages.state import ClusterState
from poof.errors import DamagedPageError, MixedFileError, PoofError, ReadOnlyError, StorageError, TruncatedFileError
from poof.format.layout import (
    CONTENT_SIZE,
    HEADER_BLOCK_SIZE,
    LOCK_PAGE,
    PAGE_SIZE,
    RESERVED_SIZE,
    file_size,
    page_count,
    page_offset,
)
from poof.format.pages import NO_PLACE, PageCodec
from poof.format.records import Place
from poof.format.subkeys import FILE_NUMBER_SIZE, DataKeys, FileKey
from poof.keys.slots import DataKey

_KEPT_CHARACTERISTICS = apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE | apsw.SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN
_FILE_HEADER = (100, 0)
"""SQLite's header at the start of page 1, which it reads when it opens the file: how much, and where."""
_HEADER_START = struct.pack(">16sH6B", b"SQLite format 3\x00", PAGE_SIZE, 2, 2, RESERVED_SIZE, 64, 32, 32)
_ANY_HEADER = _HEADER_START.ljust(_FILE_HEADER[0], b"\x00")
"""What is the same in the header of every file, and all that SQLite takes from that first read."""
_SQLITE_PAGE_COUNT = slice(28, 32)
"""Where SQLite's own header, at the start of page 1, holds the number of pages."""
_DESCRIPTORS = "/dev/fd"
"""Where Linux and macOS list the open descriptors of the process."""
_RESERVED = bytes(RESERVED_SIZE)
_EMPTY_PAGE = bytes(PAGE_SIZE)


class EncryptedFile(apsw.VFSFile):
    """What the main file and the log have in common.

    `xRead` returns any buffer, where the stubs of APSW know only `bytes`: APSW copies it before the next call.
    """

    vfs: apsw.VFS | None = None
    """Whose file it is. SQLite still calls it where a connection is collected that nobody closed."""

    def __init__(
        self, state: ClusterState, name: str | apsw.URIFilename | None, flags: list[int], room: int = 0
    ) -> None:
        super().__init__(state.base, name, flags)
        if not state.read_only and flags[0] & apsw.SQLITE_OPEN_READWRITE and flags[1] & apsw.SQLITE_OPEN_READONLY:
            fail(
                apsw.SQLITE_READONLY,
                ReadOnlyError(f"{state.label!r} is read-only for this user; nothing was changed."),
            )
        self._state = state
        flags[1] &= ~apsw.SQLITE_OPEN_MEMORY  # or SQLite would turn journalling off
        self._label = state.label
        self._filename = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._room = room
        self.use(state.keys)
        # SQLite asks often. Without "subpage read" it always reads whole pages, without "atomic" it takes no short
        # cuts.
        self._characteristics = super().xDeviceCharacteristics() & _KEPT_CHARACTERISTICS
        if state.immutable:
            self._characteristics |= apsw.SQLITE_IOCAP_IMMUTABLE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return self._characteristics

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.flush()
        super().xSync(flags)

    def flush(self) -> None:
        """Does most of the work of a sync while other threads run, which they cannot while SQLite's own sync does it.

        Only that: it may find no descriptor, or flush another connection's, and what counts is the sync after it.
        """
        with contextlib.suppress(OSError):
            descriptor = descriptor_of(self._filename)
            if descriptor is not None:
                os.fsync(descriptor)

    def sync(self) -> None:
        """Makes what was written safe."""
        self.xSync(apsw.SQLITE_SYNC_FULL)

    def use(self, keys: DataKeys) -> None:
        """Seals with the current one of these data keys from now on, and opens with either."""
        self._pages = PageCodec(keys.current.page, self._room)
        self._previous = None if keys.previous is None else PageCodec(keys.previous.page)

    def _open(self, slot: bytes | memoryview) -> tuple[memoryview, PageCodec]:
        """The page in a slot, and the codec that opened it, which knows its number and its place."""
        try:
            return self._pages.open_any(slot), self._pages
        except InvalidToken:
            known = self._state.keys
            with refusing():
                if self._state.has_previous() and self._state.keys == known and self._previous is not None:
                    with contextlib.suppress(InvalidToken):
                        return self._previous.open_any(slot), self._previous
                if self._state.keys == known and not self._state.reload_keys():
                    raise
        return self._open(slot)

    def _shorten(self, size: int) -> None:
        """Cuts the file in steps: to free much at once takes long, and no other thread runs meanwhile."""
        step = self._state.tuning.freed_at_once
        for end in range(super().xFileSize() - step, size, -step):
            super().xTruncate(end)
        super().xTruncate(size)

    def _seal(self, number: int, page: bytes | memoryview, place: Place = NO_PLACE) -> memoryview:
        if page[CONTENT_SIZE:] != _RESERVED:
            # Would be lost, and the log's checksums with it: SQLite computes them over the page as it has it.
            self._refuse(apsw.SQLITE_IOERR_WRITE, "SQLite wrote into the reserved bytes of a page")
        return self._pages.seal(number, page, place)

    def _refuse(self, code: int, what: str) -> NoReturn:
        fail(code, StorageError(f"{what} of {self._label!r}. Nothing was changed; please report this."))

    def _cut_short(self, what: str) -> NoReturn:
        """For a read that gave less than there is. Not SQLite's own error for that, which it takes for zeros."""
        reason = f"{what} of {self._label!r} could not be read whole. Nothing was changed; check the disk."
        fail(apsw.SQLITE_IOERR_READ, StorageError(reason))

    def _damaged(self, number: int, place: str) -> NoReturn:
        reason = (
            f"page {number} in {place} {self._label!r} is damaged or was altered. Nothing was changed. "
            "Restore the file from a backup."
        )
        fail(apsw.SQLITE_IOERR_DATA, DamagedPageError(reason, number))


class MainFile(EncryptedFile):
    """The cluster file as SQLite sees it: pages only, from offset 0, in the clear."""

    def __init__(self, state: ClusterState, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(state, name, flags)
        self._new = state.is_new = bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        self._pages_there = 0
        """How many pages there were when SQLite asked last, which it does when it begins a checkpoint."""
        self._copied = 0
        self._copies = False
        """Whether SQLite is copying pages from the log."""
        self._copied_frame = 0
        """The highest frame that was copied since the copying began."""
        self._last_page = 0
        """How many pages the file will have after the copying, if that is known."""
        self._is_copied = self._is_whole = False
        """Whether the copying ended; whether all of the log was copied, and a sync makes the file one state."""
        state.main_opened(self)

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
        if (amount, offset) == _FILE_HEADER and not self._new:
            # Read before SQLite looks into the log, which has page 1 whole where a crash tore it in a checkpoint.
            return _ANY_HEADER
        page = self._page(number, slot)
        if number == 1 and amount == PAGE_SIZE and not self._new:
            # Read whole, and from here instead of the log, this is the first page of a complete file.
            last = int.from_bytes(page[_SQLITE_PAGE_COUNT], "big")
            if last * PAGE_SIZE > self.xFileSize():
                self._truncated(last)
        return page[start : start + amount]

    def _page(self, number: int, slot: bytes) -> memoryview:
        """The page in a slot, which must be that of this number, and not newer than the state of the file."""
        deadline = 0.0
        while True:
            try:
                page, codec = self._open(slot)
                break
            except InvalidToken:
                # SQLite reads page 1 without a lock when it opens the file, while another process may be copying it.
                deadline = deadline or time.monotonic() + self._state.tuning.first_page_patience
                if number != 1 or time.monotonic() > deadline:
                    self._damaged(number, "the file")
            time.sleep(self._state.tuning.first_page_pause)
            slot = super().xRead(PAGE_SIZE, page_offset(number))
        if codec.number != number:
            self._damaged(number, "the file")
        if not self._new:
            with refusing():
                self._check_place(number, codec.place)
        return page

    def _check_place(self, number: int, place: Place) -> None:
        records = self._state.records
        if place > records.known.last_place and place > records.newest().last_place:
            raise MixedFileError(
                f"page {number} of {self._label!r} is newer than the state of the file, as in a copy that was made "
                "while the file was written. Nothing was changed. Copy the file again when it is closed, or with "
                "backup(); salvage() reads what there is."
            )

    def xWrite(self, data: bytes | memoryview, offset: int) -> None:  # noqa: N802
        index, start = divmod(offset, PAGE_SIZE)
        if start or len(data) != PAGE_SIZE:
            self._refuse(apsw.SQLITE_IOERR_WRITE, f"SQLite wrote {len(data)} bytes at {offset}")
        if not self._new and not self._copies:
            self._begin_copying()
        if index > self._pages_there:
            self._fill_up_to(index)
        if index == 0:
            self._last_page = int.from_bytes(data[_SQLITE_PAGE_COUNT], "big")
        stored = self._seal(index + 1, data) if self._new else self._token(index + 1, data)
        super().xWrite(stored, page_offset(index + 1))
        self._pages_there = max(self._pages_there, index + 1)
        self._copied += 1
        if self._copied % self._state.tuning.copies_at_once == 0:
            time.sleep(self._state.tuning.copy_break)
        if self._state.on_copied is not None:
            self._state.on_copied()

    def _begin_copying(self) -> None:
        """Says in the file how much of which log may be in it from now on. SQLite has just synced that log."""
        log = self._state.log
        with refusing():
            header = None if log is None else log.header()
            if log is None or header is None:
                raise DamagedPageError(f"SQLite wrote into {self._label!r} past its log. Nothing was changed.")
            self._state.records.copied(header, log.synced_frames)
        self._copies, self._is_copied, self._is_whole = True, False, False
        self._copied_frame = self._last_page = 0
        below = super().xFileControl

        def control(op: int, ptr: int) -> bool:
            if op == apsw.SQLITE_FCNTL_CKPT_DONE:
                del self.xFileControl
                self._copies, self._is_copied = False, True
                # A checkpoint passes over a page of which the log holds a newer one than may be copied. Where that is
                # the last page, the file would seem to have lost its end.
                self._fill_up_to(self._last_page)
            return below(op, ptr)

        # Each commit makes four calls of this kind, so none is watched but now.
        self.xFileControl = control  # type: ignore[method-assign]

    def _token(self, number: int, page: bytes | memoryview) -> bytes | memoryview:
        """What goes into the file for a page: the token that was just read from the log, which it must be."""
        last = self._state.last_opened
        if last.number != number or last.page != page:
            reason = (
                f"page {number} was to be written into {self._label!r}, and is not the one that lies in the log: the "
                "index of the log beside it was altered. Nothing was changed. Close the cluster and open it again."
            )
            fail(apsw.SQLITE_IOERR_DATA, DamagedPageError(reason, number))
        self._copied_frame = max(self._copied_frame, last.place[1])
        return last.token if last.token is not None else self._seal(number, page, last.place)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        pages = -(-newsize // PAGE_SIZE)
        self._is_whole = self._is_copied
        self._fill_up_to(pages)
        self._shorten(file_size(pages))
        self._pages_there = pages

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._is_whole:
            self._is_copied = self._is_whole = False
            with refusing():
                self._state.records.settled(self._copied_frame)
        super().xSync(flags)

    def xFileSize(self) -> int:  # noqa: N802
        self._pages_there = page_count(super().xFileSize())
        return self._pages_there * PAGE_SIZE

    def xClose(self) -> None:  # noqa: N802
        self._state.main_closed()
        super().xClose()

    def read_header(self) -> bytes:
        """The header block as it is in the file now."""
        block = super().xRead(HEADER_BLOCK_SIZE, 0)
        if len(block) < HEADER_BLOCK_SIZE:  # the copy that is missing may be the newer one
            self._cut_short("The header")
        return block

    def write_header(self, offset: int, copy: bytes) -> None:
        """Writes one copy of the header, and waits until it is on the disk."""
        super().xWrite(copy, offset)
        self.sync()

    def write_record(self, offset: int, record: bytes) -> None:
        """Writes one state record, which a sync makes safe."""
        super().xWrite(record, offset)

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
        fail(apsw.SQLITE_IOERR_DATA, TruncatedFileError(reason))

    def _fill_up_to(self, pages: int) -> None:
        """Makes every page up to this one exist: SQLite leaves some unwritten, and a hole would be damage."""
        for number in range(self.xFileSize() // PAGE_SIZE + 1, pages + 1):
            if number != LOCK_PAGE:
                super().xWrite(self._pages.seal(number, _EMPTY_PAGE), page_offset(number))


class TemporaryFile(EncryptedFile):
    """The temporary database of a VACUUM: pages under a key that nobody else ever has, beside the cluster file.

    SQLite deletes it when it is closed, and POSIX its name as soon as it is open, so that no crash leaves it behind.
    """

    def __init__(self, state: ClusterState, flags: list[int]) -> None:
        path = str(Path(state.path).with_name(f".poof-{secrets.token_hex(8)}.tmp"))
        super().__init__(state, path, flags)
        self.use(DataKeys(FileKey(DataKey.generate(), secrets.token_bytes(FILE_NUMBER_SIZE))))
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
        if self._state.on_page is not None:
            self._state.on_page()
        super().xWrite(self._seal(index + 1, data), index * PAGE_SIZE)
        self._written.extend(bytes(max(0, index + 1 - len(self._written))))
        self._written[index] = True

    def xClose(self) -> None:  # noqa: N802
        with contextlib.suppress(apsw.Error):  # it goes away all the same
            self._shorten(0)
        super().xClose()


def descriptor_of(path: str) -> int | None:
    """A descriptor that this process has of a file, of whichever connection: then the path still leads to it."""
    file = Path(path).stat()
    for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - a path for each would cost as much again
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(int(name)), file):
                return int(name)
    return None


def fail(code: int, error: PoofError) -> NoReturn:
    """Ends a call of SQLite with an error code for it, and an error of ours for the user."""
    raise apsw.exception_for(code) from error


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Ends a call of SQLite where the block refuses what it found."""
    try:
        yield
    except PoofError as error:
        fail(apsw.SQLITE_IOERR_DATA, error)
