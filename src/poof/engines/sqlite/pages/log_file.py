"""The write-ahead log as SQLite sees it: frames in the clear on its side, tokens on the disk's.

Layer: storage. The invariants are those of `storage.vfs`, which opens it.
"""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from typing import TypeVar

import apsw
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import InvalidToken

from poof.engines.sqlite.pages.main_file import EncryptedFile, descriptor_of, fail, refusing
from poof.engines.sqlite.pages.state import ClusterState
from poof.errors import DamagedPageError, LogMismatchError, LogMissingError
from poof.format.frames import BLOCK_SIZE, CHECKSUMS_OFFSET, FrameCodec, FramePages, block_of, header_of
from poof.format.layout import (
    FRAME_HEADER_SIZE,
    FRAME_SIZE,
    LOG_HEADER_SIZE,
    LOG_SHIFT,
    PAGE_NUMBER_SIZE,
    PAGE_SIZE,
    WAL_HEADER_SIZE,
    frame_number,
    frame_position,
)
from poof.format.logs import LogHeader, begin_log, decode_log, is_whole, judge
from poof.format.records import UNKNOWN_FRAMES
from poof.format.subkeys import DataKeys

# The shapes of what SQLite reads and writes in the log: how much, and where. In its header, from offset 0:
_CHECKSUMS_SIZE = FRAME_HEADER_SIZE - CHECKSUMS_OFFSET
_LOG_HEADER = (WAL_HEADER_SIZE, 0)
_LOG_HEADER_CHECKSUMS = (_CHECKSUMS_SIZE, WAL_HEADER_SIZE - _CHECKSUMS_SIZE)
# and after it, from the start of a frame:
_FRAME = (FRAME_SIZE, 0)
_FRAME_HEADER = (FRAME_HEADER_SIZE, 0)
_FRAME_CHECKSUMS = (_CHECKSUMS_SIZE, CHECKSUMS_OFFSET)
_FRAME_PAGE = (PAGE_SIZE, FRAME_HEADER_SIZE)

_SALTS = slice(8, CHECKSUMS_OFFSET)
"""Of a frame, in its header as SQLite has it."""
_NO_SALTS = bytes(8)
"""What SQLite writes there where it writes a page again in its transaction, until that is committed."""
_COMMITTED = struct.Struct("=16xI")
"""How many frames are committed, in SQLite's index of the log."""
_TRIES = 50
"""How often a log is judged that does not fit while the file and its log change."""
_NOT_HERE = (InvalidSignature, InvalidToken)

T = TypeVar("T")


class WalFile(EncryptedFile):
    """The write-ahead log as SQLite sees it (https://sqlite.org/fileformat2.html#walformat), in the clear.

    In the file all but the header lies 96 bytes further. SQLite writes the header of a frame and then its page. The
    header waits for the page, and both are written at once: a write costs as much as half the cryptography of a page.
    """

    def __init__(self, state: ClusterState, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._waiting: tuple[int, bytes] | None = None
        """The offset of the frame whose header waits for its page, and what is sealed of that header."""
        self._log: LogHeader | None = None
        """The header of the log as it was last seen."""
        self._frames: list[FrameCodec] = []
        """Of this log, under the data key and the one before."""
        super().__init__(state, name, flags, room=FRAME_HEADER_SIZE)
        self._recovering = False
        self._is_begun = False
        """Whether the log was begun, which is to be said in the file once its header is safe."""
        self.synced_frames = UNKNOWN_FRAMES
        """How many frames were committed when the log was last synced, and so are safe."""
        self._written: FramePages
        """The page numbers of the frames that were written since the log was begun, by offset."""
        self._begin_anew()
        self._repaired: tuple[int, bytes] | None = None
        """The frame that was just read whole, to be summed up anew: its offset and token. Only its header follows."""
        state.log_opened(self)

    def xRead(self, amount: int, offset: int) -> bytes | memoryview:  # type: ignore[override]  # noqa: N802
        self._waiting = self._repaired = None
        if offset < WAL_HEADER_SIZE:
            return self._read_log_header(amount, offset)
        frame, position = frame_position(offset)
        shape = (amount, position)
        if shape == _FRAME_PAGE:
            return self._read_page(frame)
        if shape == _FRAME:
            return self._read_frame(frame)
        if shape == _FRAME_CHECKSUMS:
            self._recovering = False
            stored = self._read_stored(frame)
            with self._refusing_damage(frame):
                return self._on_frames(lambda codec: codec.open(frame_number(frame), *_parts(stored)))[
                    -_CHECKSUMS_SIZE:
                ]
        self._refuse(apsw.SQLITE_IOERR_READ, f"SQLite read {amount} bytes at {offset} in the log")

    def xWrite(self, data: bytes | memoryview, offset: int) -> None:  # noqa: N802
        self._recovering = False
        waiting, self._waiting = self._waiting, None
        repaired, self._repaired = self._repaired, None
        frame, position = frame_position(offset)
        shape = (len(data), position)
        if shape == _FRAME_HEADER:
            self._write_header(data, frame, repaired)
        elif shape == _FRAME_PAGE and waiting is not None and waiting[0] == frame:
            self._write_frame(data, *waiting)
        elif shape == _FRAME_PAGE and frame in self._written:
            # Again, later in its transaction. SQLite writes the header again before the commit.
            self._write_frame(
                data, frame, self._written[frame].to_bytes(PAGE_NUMBER_SIZE, "big").ljust(BLOCK_SIZE, b"\0")
            )
        elif (len(data), offset) == _LOG_HEADER:
            self._begin(bytes(data))
        else:
            self._refuse(apsw.SQLITE_IOERR_WRITE, f"SQLite wrote {len(data)} bytes at {offset} in the log")

    def xSync(self, flags: int) -> None:  # noqa: N802
        # Counted before: what was committed by now is whole in the file, and safe after the sync.
        frames = self.count_committed()
        super().xSync(flags)
        self.synced_frames = frames
        if self._is_begun and self._log is not None:
            self._is_begun = False
            if not self._state.is_new:
                with refusing():
                    self._state.records.begun(self._log)

    def xFileSize(self) -> int:  # noqa: N802
        size = super().xFileSize()
        return size - LOG_SHIFT if size >= LOG_HEADER_SIZE else 0

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        if newsize == 0:
            self._begin_anew()
            with refusing():
                self._state.log_goes()
        size = newsize + LOG_SHIFT if newsize else 0
        # That takes its time for a long log. As with a sync, other threads run meanwhile, and what counts is SQLite's
        # own. By the path: a descriptor may be closed just now, and become another file's. In one step: half a log is
        # an old log.
        with contextlib.suppress(OSError):
            if descriptor_of(self._filename) is not None:
                os.truncate(self._filename, size)
        super().xTruncate(size)

    def xClose(self) -> None:  # noqa: N802
        self._state.log_closed()
        super().xClose()

    def count_pages(self) -> int:
        """How many different pages were written here since the log was begun."""
        return self._written.count_pages()

    def is_empty(self) -> bool:
        """Whether nothing at all lies in the file of the log."""
        return super().xFileSize() == 0

    def use(self, keys: DataKeys) -> None:
        """As for the main file; the headers of frames have their keys from the same data keys."""
        super().use(keys)
        self._waiting = None
        if self._log is not None:
            self._frames = [FrameCodec(key.frames(self._log.id)) for key in keys]

    def header(self) -> LogHeader | None:
        """The header of the log as it is in the file now; `None` where the log is empty.

        Raises:
            LogMissingError, LogMismatchError: it is not the log of the file.
        """
        for again in range(_TRIES, -1, -1):
            record = self._state.records.newest()
            data = super().xRead(LOG_HEADER_SIZE, 0)
            try:
                log = judge(data, record, self._state.keys, self._label)
            except (LogMismatchError, LogMissingError):
                is_still = self._state.records.newest() == record and super().xRead(LOG_HEADER_SIZE, 0) == data
                if is_still or not again:
                    raise
            else:
                break
        self._follow(log)
        return log

    def _follow(self, log: LogHeader | None) -> None:
        """Goes over to a log."""
        if log is not None and (self._log is None or self._log.id != log.id):
            self._frames = [FrameCodec(key.frames(log.id)) for key in self._state.keys]
        self._log = log

    def _begin(self, sqlite: bytes) -> None:
        """Writes the header of a new log, in one write. It says on which state of the file the log was begun."""
        with refusing():
            record = self._state.records.newest()
        if not record.is_at_mark:
            self._refuse(apsw.SQLITE_IOERR_WRITE, "SQLite began a log while another one was copied into the file")
        keys = self._state.keys
        stored = super().xRead(LOG_HEADER_SIZE, 0)
        old = decode_log(stored, (key.log for key in keys)) if is_whole(stored) else None
        log = begin_log(sqlite, record, keys.current.file, old)
        self._begin_anew()
        self._follow(log)
        self._is_begun = True
        super().xWrite(log.encode(keys.current.log), 0)

    def _begin_anew(self) -> None:
        """Forgets the frames, before the file does. Whoever looks at them just now keeps the old object."""
        self._written = FramePages()
        self._state.log_begun(self._written)

    def _write_header(self, header: bytes | memoryview, frame: int, repaired: tuple[int, bytes] | None) -> None:
        salts = bytes(header[_SALTS])
        if salts != _NO_SALTS and (self._log is None or salts != self._log.salts):
            with refusing():
                log = self.header()  # another connection has begun a log
            if log is None or salts != log.salts:
                self._refuse(apsw.SQLITE_IOERR_WRITE, "SQLite wrote a frame of another log")
        self._written[frame] = int.from_bytes(header[:PAGE_NUMBER_SIZE], "big")
        block = block_of(header)
        if repaired is not None and repaired[0] == frame:
            super().xWrite(self._frames[0].seal(frame_number(frame), block, repaired[1]), frame + LOG_SHIFT)
        else:
            self._waiting = frame, block

    def _write_frame(self, page: bytes | memoryview, frame: int, block: bytes) -> None:
        """Writes a page and the header before it; neither, where that fails.

        Then another process may write there next, and a header that came later would destroy what it wrote.
        """
        if self._state.on_page is not None:
            self._state.on_page()
        if self._log is None:
            self._refuse(apsw.SQLITE_IOERR_WRITE, "SQLite wrote a frame without a log")
        number = frame_number(frame)
        token = self._seal(self._written[frame], page, (self._log.base, number))
        self._pages.buffer[:FRAME_HEADER_SIZE] = self._frames[0].seal(number, block, token)
        super().xWrite(self._pages.buffer, frame + LOG_SHIFT)

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
        with refusing():
            log = self.header()
        sqlite = bytes(WAL_HEADER_SIZE) if log is None else log.sqlite
        return sqlite[offset : offset + amount]

    def _read_page(self, frame: int) -> bytes:
        stored = self._read_stored(frame)
        number = frame_number(frame)
        with self._refusing_damage(frame):
            self._on_frames(lambda codec: codec.check(number, *_parts(stored)))
            page, at = self._open_here(stored, number)
        self._state.opened(at, page, stored[FRAME_HEADER_SIZE:], self._place(number))
        return page

    def _read_frame(self, frame: int) -> bytes:
        stored = self._read_stored(frame)
        if len(stored) < FRAME_SIZE:  # SQLite asks for no frame beyond the size of the log
            self._cut_short("The log")
        number = frame_number(frame)
        with self._refusing_damage(frame):
            try:
                block = self._on_frames(lambda codec: codec.open(number, *_parts(stored)))
                page, at = self._open_here(stored, number)
                if at != int.from_bytes(block[:PAGE_NUMBER_SIZE], "big"):
                    raise InvalidToken
            except _NOT_HERE:
                if not self._recovering:
                    raise
                # A crash may have torn the last frames. Zeros are no valid frame: SQLite ends the log before it.
                return bytes(FRAME_SIZE)
        self._repaired = frame, bytes(stored[FRAME_HEADER_SIZE:])
        return header_of(block, b"" if self._log is None else self._log.salts) + page

    def _read_stored(self, frame: int) -> memoryview:
        return memoryview(super().xRead(FRAME_SIZE, frame + LOG_SHIFT))

    def _on_frames(self, use: Callable[[FrameCodec], T]) -> T:
        """What a codec of the log makes of a frame. If none can: another connection may have begun the log anew."""
        with contextlib.suppress(InvalidSignature):
            return self._on_known_frames(use)
        with refusing():
            self.header()
        return self._on_known_frames(use)

    def _on_known_frames(self, use: Callable[[FrameCodec], T]) -> T:
        for codec in self._frames:
            with contextlib.suppress(InvalidSignature):
                return use(codec)
        raise InvalidSignature

    def _open_here(self, stored: memoryview, number: int) -> tuple[bytes, int]:
        """The page in a frame, which must have been written there, and its number."""
        page, codec = self._open(stored[FRAME_HEADER_SIZE:])
        if codec.place != self._place(number):
            raise InvalidToken
        return bytes(page), codec.number

    def _place(self, number: int) -> tuple[int, int]:
        return (0 if self._log is None else self._log.base), number

    @contextlib.contextmanager
    def _refusing_damage(self, frame: int) -> Iterator[None]:
        try:
            yield
        except _NOT_HERE:
            reason = (
                f"frame {frame_number(frame)} in the log of {self._label!r} is damaged or was altered. Nothing was "
                "changed. Restore the file from a backup."
            )
            fail(apsw.SQLITE_IOERR_DATA, DamagedPageError(reason))

    def count_committed(self) -> int:
        """How many frames are committed, as SQLite's index of the log says.

        By the descriptor that SQLite has: to open and close another one would drop all locks of this process.
        """
        index = f"{self._state.path}-shm"
        with contextlib.suppress(OSError, struct.error):
            descriptor = descriptor_of(index)
            if descriptor is not None:
                frames: int = _COMMITTED.unpack(os.pread(descriptor, _COMMITTED.size, 0))[0]
                return frames
        return UNKNOWN_FRAMES


def _parts(stored: memoryview) -> tuple[memoryview, memoryview]:
    """The header of a frame, and its token."""
    return stored[:FRAME_HEADER_SIZE], stored[FRAME_HEADER_SIZE:]
