"""The write-ahead log as SQLite sees it: frames in the clear on its side, tokens on the disk's.

The invariants are those of `vfs`, which opens it.
"""

import contextlib
import os
import struct

import apsw
from cryptography.fernet import InvalidToken

from poof.engines.sqlite.pages.main_file import EncryptedFile, fail
from poof.engines.sqlite.pages.state import ClusterState
from poof.errors import DamagedFileError
from poof.format.frames import CHECKSUMS_OFFSET, CLEAR_SIZE, SALTS_SIZE, FrameHeaderCodec, FramePages
from poof.format.layout import (
    FRAME_HEADER_SIZE,
    FRAME_SIZE,
    PAGE_NUMBER_SIZE,
    PAGE_SIZE,
    WAL_HEADER_SIZE,
    frame_position,
)
from poof.format.trust import DataKeys

# The shapes of what SQLite reads and writes in the log: how much, and where. In its header, from offset 0:
_CHECKSUMS_SIZE = FRAME_HEADER_SIZE - CHECKSUMS_OFFSET
_LOG_HEADER = (WAL_HEADER_SIZE, 0)
_LOG_HEADER_CHECKSUMS = (_CHECKSUMS_SIZE, WAL_HEADER_SIZE - _CHECKSUMS_SIZE)
# and after it, from the start of a frame:
_FRAME = (FRAME_SIZE, 0)
_FRAME_HEADER = (FRAME_HEADER_SIZE, 0)
_FRAME_CHECKSUMS = (_CHECKSUMS_SIZE, CHECKSUMS_OFFSET)
_FRAME_PAGE = (PAGE_SIZE, FRAME_HEADER_SIZE)

_LOG_PAGE_FORMAT = struct.pack(">II", 3007000, PAGE_SIZE)
"""Version and page size in the header of every log, from offset 4."""
_LOG_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_LOG_SALTS = slice(16, 24)
"""Where the header of the log holds the salts of its frames."""
_NO_SALTS = bytes(SALTS_SIZE)


class WalFile(EncryptedFile):
    """The write-ahead log as SQLite sees it (https://sqlite.org/fileformat2.html#walformat), in the clear.

    SQLite writes the header of a frame and then its page. The header waits for the page, and both are written at once:
    a write costs as much as half the cryptography of a page.
    """

    def __init__(self, state: ClusterState, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._waiting: int | None = None
        """The offset of the frame whose header waits in `_frame_header`."""
        self._number = 0
        """The number of its page."""
        super().__init__(state, name, flags, room=FRAME_HEADER_SIZE)
        self._recovering = False
        self._salts = b""
        """The salts of the log as it was last seen; every frame that is in use has them."""
        self._written: FramePages
        """The page numbers of the frames that were written since the log was begun, by offset."""
        self._begin_anew()
        self._repaired: int | None = None
        """The offset of the frame that was just read whole, to be summed up anew: only its header will be written."""
        state.log_opened(self)

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
        if self._waiting is not None and offset == self._waiting + FRAME_HEADER_SIZE and len(data) == PAGE_SIZE:
            self._write_frame(data, offset - FRAME_HEADER_SIZE)
            return
        frame, position = frame_position(offset)
        shape = (len(data), position)
        if shape == _FRAME_HEADER:
            self._write_header(data, frame)
        elif shape == _FRAME_PAGE and frame in self._written:
            self._write_page(data, frame)
        elif (len(data), offset) == _LOG_HEADER:
            self._write_waiting()
            self._begin_anew()
            super().xWrite(data, offset)
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
        if newsize == 0:
            self._begin_anew()
        # That takes its time for a long log. As with a sync, other threads run meanwhile, and what counts is SQLite's
        # own. By the path: a descriptor may be closed just now, and become another file's. In one step: half a log is
        # an old log.
        with contextlib.suppress(OSError):
            if self._descriptor() is not None:
                os.truncate(self._filename, newsize)
        super().xTruncate(newsize)

    def xClose(self) -> None:  # noqa: N802
        self._state.log_closed()
        super().xClose()

    def count_pages(self) -> int:
        """How many different pages were written here since the log was begun."""
        return self._written.count_pages()

    def use(self, keys: DataKeys) -> None:
        """As for the main file; the headers of frames have their keys from the same data keys."""
        self._write_waiting()
        super().use(keys)
        self._frame_header = self._pages.buffer[:FRAME_HEADER_SIZE]
        self._headers = [FrameHeaderCodec(key) for key in (keys.current, keys.previous) if key is not None]

    def _begin_anew(self) -> None:
        """Forgets the frames, before the file does. Whoever looks at them just now keeps the old object."""
        self._written = FramePages()
        self._state.log_begun(self._written)

    def _write_header(self, header: bytes | memoryview, frame: int) -> None:
        self._write_waiting()
        self._number = int.from_bytes(header[:PAGE_NUMBER_SIZE], "big")
        self._written[frame] = self._number
        self._frame_header[:] = self._headers[0].seal(header, frame)
        self._waiting = frame
        if frame == self._repaired:
            self._write_waiting()

    def _write_frame(self, page: bytes | memoryview, frame: int) -> None:
        """Writes the header that waits, and its page with it; neither, where that fails.

        Then another process may write there next, and a header that came later would destroy what it wrote.
        """
        self._waiting = None
        if self._state.on_page is not None:
            self._state.on_page()
        self._seal(self._number, page)
        super().xWrite(self._pages.buffer, frame)

    def _write_page(self, page: bytes | memoryview, frame: int) -> None:
        """Writes a page anew, later in its transaction."""
        if self._state.on_page is not None:
            self._state.on_page()
        self._write_waiting()
        super().xWrite(self._seal(self._written[frame], page), frame + FRAME_HEADER_SIZE)

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
            fail(apsw.SQLITE_IOERR_DATA, DamagedFileError(reason))
        return header

    def _read_page(self, frame: int) -> bytes:
        stored = memoryview(super().xRead(FRAME_SIZE, frame))
        number = int.from_bytes(stored[:PAGE_NUMBER_SIZE], "big")
        try:
            self._check_place(stored, frame)
            page = bytes(self._open(number, stored[FRAME_HEADER_SIZE:]))
        except InvalidToken:
            self._damaged(number, "the log of")
        self._state.opened(number, page, stored[FRAME_HEADER_SIZE:])
        return page

    def _check_place(self, stored: memoryview, frame: int) -> None:
        """Refuses a frame that was not written here, in this log: SQLite would take it for the page it looks for."""
        if self._headers[0].salts(stored, frame) == self._salts:
            return
        if not self._belongs_here(self._open_header(stored, frame), frame):
            raise InvalidToken

    def _open_header(self, stored: bytes | memoryview, frame: int) -> bytes:
        """SQLite's header of a frame, by the key under which it belongs here, if there is one."""
        for codec in self._headers:
            header = codec.open(stored, frame)
            if self._belongs_here(header, frame):
                return header
        return self._open_header(stored, frame) if self._reload_keys() else header

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
        read = super().xRead(FRAME_SIZE, frame)
        if len(read) < FRAME_SIZE:  # SQLite asks for no frame beyond the size of the log
            self._cut_short("The log")
        stored = memoryview(read)
        number = int.from_bytes(stored[:PAGE_NUMBER_SIZE], "big")
        try:
            page = self._open(number, stored[FRAME_HEADER_SIZE:])
        except InvalidToken:
            if self._recovering:
                # A crash may have torn the last frames. Zeros are no valid frame: SQLite ends the log before it.
                return bytes(FRAME_SIZE)
            self._damaged(number, "the log of")
        return self._open_header(stored[:FRAME_HEADER_SIZE], frame) + page
