"""The log of a cluster that nobody has open, as `docs/format.md` says in section 6: which frames count."""

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import apsw

from poof.engines.sqlite.care.rawpages import PageOpener, read_part
from poof.engines.sqlite.file.unlock import RawFile
from poof.format.frames import CHECKSUMS_OFFSET, CLEAR_SIZE, SALTS_SIZE, FrameHeaderCodec
from poof.format.layout import FRAME_HEADER_SIZE, FRAME_SIZE, PAGE_NUMBER_SIZE, PAGE_SIZE, WAL_HEADER_SIZE
from poof.format.pages import written_at
from poof.format.trust import DataKeys

MAGIC = {b"\x37\x7f\x06\x82": "<", b"\x37\x7f\x06\x83": ">"}
"""How a log begins, and the order of bytes in the words of its checksums."""
LAYOUT = struct.pack(">II", 3007000, PAGE_SIZE)
"""What comes next: the version and the size of a page."""

NO_SALTS = bytes(SALTS_SIZE)
"""What a frame has until its transaction is committed, where it is written more than once."""

_SALTS = slice(16, 24)
_CHECKSUMS = slice(24, 32)
_SUMMED = 24
"""How much of the log's header its checksums are of."""
_WORD = 0xFFFFFFFF

Sums = tuple[int, int]


@dataclass(frozen=True)
class Log:
    """What counts in a log."""

    frames: dict[int, int] = field(default_factory=dict)
    """The offset of the last frame of each page."""
    count: int = 0
    """How many frames count."""
    left: int = 0
    """How many frames of this log follow that do not count, as one before them is damaged, or they were undone.

    Those that cannot be read are among them: where the disk fails, and all where the header of the log is damaged.
    """


class RawLog:
    """An open log, frame by frame. Used by one thread at a time."""

    def __init__(self, file: apsw.VFSFile, keys: DataKeys) -> None:
        self._file = file
        self.use(keys)

    def use(self, keys: DataKeys) -> None:
        """Opens with either of these data keys from now on."""
        self._opener = PageOpener(keys)
        self._headers = [FrameHeaderCodec(key) for key in (keys.current, keys.previous) if key is not None]

    @property
    def size(self) -> int:
        """In bytes."""
        return self._file.xFileSize()

    @property
    def frames(self) -> int:
        """How many whole frames lie in the file."""
        return max(0, self.size - WAL_HEADER_SIZE) // FRAME_SIZE

    def header(self) -> bytes | None:
        """The header of the log, or `None` where it has none that holds."""
        header = read_part(self._file, WAL_HEADER_SIZE, 0)
        if len(header) < WAL_HEADER_SIZE or header[:4] not in MAGIC or header[4:12] != LAYOUT:
            return None
        sums = add_up(MAGIC[header[:4]], header[:_SUMMED], (0, 0))
        return header if struct.pack(">2I", *sums) == header[_CHECKSUMS] else None

    def frame(self, index: int, salts: bytes) -> tuple[bytes, bytes | None]:
        """A frame's header as SQLite has it, and its page where that is authentic, and written in this log.

        Without a header where it cannot be read.
        """
        offset = frame_offset(index)
        stored = read_part(self._file, FRAME_SIZE, offset)
        if len(stored) < FRAME_SIZE:
            return b"", None
        number = int.from_bytes(stored[:PAGE_NUMBER_SIZE], "big")
        opened = [codec.open(stored[:FRAME_HEADER_SIZE], offset) for codec in self._headers]
        for header in opened:
            if header[CLEAR_SIZE:CHECKSUMS_OFFSET] == salts and number:
                return header, self._opener.open(number, stored[FRAME_HEADER_SIZE:])
        unfinished = (header for header in opened if header[CLEAR_SIZE:CHECKSUMS_OFFSET] == NO_SALTS)
        return next(unfinished, opened[0]), None

    def page(self, offset: int, number: int) -> bytes | None:
        """The page in the frame at an offset; `None` where it is not authentic."""
        return self._opener.open(number, read_part(self._file, PAGE_SIZE, offset + FRAME_HEADER_SIZE))

    def written_at(self, offset: int) -> int | None:
        """When the page in the frame at an offset was written, in seconds since 1970."""
        return written_at(read_part(self._file, PAGE_SIZE, offset + FRAME_HEADER_SIZE))


@contextlib.contextmanager
def raw_log(raw_file: RawFile, keys: DataKeys) -> Iterator[RawLog | None]:
    """The log beside a cluster file, if there is one."""
    try:
        file = apsw.VFSFile(
            raw_file.base, f"{raw_file.path}-wal", [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READONLY, 0]
        )
    except apsw.CantOpenError:
        if os.path.lexists(f"{raw_file.path}-wal"):
            raise
        yield None
        return
    try:
        yield RawLog(file, keys)
    finally:
        file.xClose()


def salts_of(header: bytes) -> bytes:
    """The salts that every frame of the log has."""
    return header[_SALTS]


def frame_offset(index: int) -> int:
    """Where a frame lies, of those numbered from 0."""
    return WAL_HEADER_SIZE + index * FRAME_SIZE


def read_log(log: RawLog) -> Log:
    """Which frames count: those before the first that is not valid, up to the last that ends a transaction."""
    header = log.header()
    if header is None:
        return Log(left=log.frames)
    order, salts = MAGIC[header[:4]], salts_of(header)
    sums = _unpacked(header[_CHECKSUMS])
    frames: dict[int, int] = {}
    waiting: dict[int, int] = {}
    count = index = 0
    while index < log.frames:
        frame, page = log.frame(index, salts)
        if page is None:
            break
        sums = add_up(order, page, add_up(order, frame[:CLEAR_SIZE], sums))
        if sums != _unpacked(frame[CHECKSUMS_OFFSET:]):
            break
        waiting[int.from_bytes(frame[:PAGE_NUMBER_SIZE], "big")] = frame_offset(index)
        index += 1
        if any(frame[PAGE_NUMBER_SIZE:CLEAR_SIZE]):
            frames.update(waiting)
            waiting.clear()
            count = index
    rest = (log.frame(later, salts) for later in range(index, log.frames))
    return Log(frames, count, sum(page is not None or not frame for frame, page in rest))


def add_up(order: str, data: bytes, sums: Sums) -> Sums:
    """SQLite's checksums, carried on over more bytes: words of 4 bytes, in pairs."""
    s, t = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for x, y in zip(words, words, strict=True):
        s = (s + x + t) & _WORD
        t = (t + y + s) & _WORD
    return s, t


def _unpacked(data: bytes) -> Sums:
    first, second = struct.unpack(">2I", data)
    return first, second
