"""The log of a cluster that nobody has open, as `docs/format.md` says in section 8: which frames count.

Layer: storage.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import apsw
from cryptography.exceptions import InvalidSignature

from poof.engines.sqlite.care.rawpages import SlotOpener, read_part
from poof.engines.sqlite.file.unlock import Source
from poof.format.frames import NUMBER_AND_SIZE, FrameCodec
from poof.format.layout import (
    FRAME_HEADER_SIZE,
    FRAME_SIZE,
    LOG_HEADER_SIZE,
    PAGE_NUMBER_SIZE,
    PAGE_SIZE,
    frame_start,
)
from poof.format.logs import LogHeader, decode_log, is_of, is_whole
from poof.format.pages import written_at
from poof.format.records import StateRecord
from poof.format.subkeys import DataKeys

MAGIC = {b"\x37\x7f\x06\x82": "<", b"\x37\x7f\x06\x83": ">"}
"""How SQLite's part of a log's header begins, and the order of bytes in the words of its checksums."""
LAYOUT = struct.pack(">II", 3007000, PAGE_SIZE)
"""What comes next: the version and the size of a page."""

_CHECKSUMS = slice(24, 32)
_SUMMED = 24
"""How much of SQLite's header its checksums are of."""
_WORD = 0xFFFFFFFF

Sums = tuple[int, int]


@dataclass(frozen=True)
class Log:
    """What counts in a log."""

    frames: dict[int, int] = field(default_factory=dict)
    """The number of the last frame of each page."""
    count: int = 0
    """How many frames count."""
    left: int = 0
    """How many frames of this log follow that do not count, as one before them is damaged, or they were undone.

    Those that cannot be read are among them: where the disk fails, and all where the log is not that of the file.
    """


class RawLog:
    """An open log, frame by frame. Used by one thread at a time."""

    def __init__(self, file: apsw.VFSFile, keys: DataKeys) -> None:
        self._file = file
        self.use(keys)

    def use(self, keys: DataKeys) -> None:
        """Opens with either of these data keys from now on."""
        self._keys = keys
        self._slots = SlotOpener(keys)
        self._frames: tuple[bytes, list[FrameCodec]] = b"", []

    @property
    def size(self) -> int:
        """In bytes."""
        return self._file.xFileSize()

    @property
    def frames(self) -> int:
        """How many whole frames lie in the file."""
        return max(0, self.size - LOG_HEADER_SIZE) // FRAME_SIZE

    def header(self) -> LogHeader | None:
        """The header of the log, or `None` where it has none that holds, or is another file's."""
        data = read_part(self._file, LOG_HEADER_SIZE, 0)
        header = decode_log(data, (key.log for key in self._keys)) if is_whole(data) else None
        if header is None or header.file != self._keys.current.file:
            return None
        sqlite = header.sqlite
        if sqlite[:4] not in MAGIC or sqlite[4:12] != LAYOUT:
            return None
        sums = add_up(MAGIC[sqlite[:4]], sqlite[:_SUMMED], (0, 0))
        return header if struct.pack(">2I", *sums) == sqlite[_CHECKSUMS] else None

    def frame(self, number: int, log: LogHeader) -> tuple[bytes, bytes | None]:
        """What a frame's header holds, and its page, where they are authentic, and written there in this log.

        Without a header where it cannot be read; without a page where they are not authentic.
        """
        stored = read_part(self._file, FRAME_SIZE, frame_start(number))
        if len(stored) < FRAME_SIZE:
            return b"", None
        header, token = stored[:FRAME_HEADER_SIZE], stored[FRAME_HEADER_SIZE:]
        for codec in self._codecs(log):
            with contextlib.suppress(InvalidSignature):
                block = codec.open(number, header, token)
                page = self._slots.open(int.from_bytes(block[:PAGE_NUMBER_SIZE], "big"), token, (log.base, number))
                return block, page
        return header, None

    def page(self, frame: int, number: int) -> bytes | None:
        """The page in a frame; `None` where it is not authentic."""
        return self._slots.open(number, read_part(self._file, PAGE_SIZE, frame_start(frame) + FRAME_HEADER_SIZE))

    def written_at(self, frame: int) -> int | None:
        """When the page in a frame was written, in seconds since 1970."""
        return written_at(read_part(self._file, PAGE_SIZE, frame_start(frame) + FRAME_HEADER_SIZE))

    def _codecs(self, log: LogHeader) -> list[FrameCodec]:
        if self._frames[0] != log.id:
            self._frames = log.id, [FrameCodec(key.frames(log.id)) for key in self._keys]
        return self._frames[1]


@contextlib.contextmanager
def raw_log(source: Source, keys: DataKeys) -> Iterator[RawLog | None]:
    """The log beside a cluster file, if there is one."""
    try:
        file = apsw.VFSFile(source.base, f"{source.path}-wal", [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READONLY, 0])
    except apsw.CantOpenError:
        if os.path.lexists(f"{source.path}-wal"):
            raise
        yield None
        return
    try:
        yield RawLog(file, keys)
    finally:
        file.xClose()


def read_log(log: RawLog, record: StateRecord | None) -> Log:
    """Which frames count: those before the first that is not valid, up to the last that ends a transaction.

    None where the log is not of this state of the file.
    """
    header = log.header()
    if header is None or (record is not None and not is_of(header, record)):
        return Log(left=log.frames)
    order = MAGIC[header.sqlite[:4]]
    sums = _unpacked(header.sqlite[_CHECKSUMS])
    frames: dict[int, int] = {}
    waiting: dict[int, int] = {}
    count = last = 0
    for number in range(1, log.frames + 1):
        block, page = log.frame(number, header)
        if page is None:
            break
        sums = add_up(order, page, add_up(order, block[:NUMBER_AND_SIZE], sums))
        if sums != _unpacked(block[NUMBER_AND_SIZE:]):
            break
        waiting[int.from_bytes(block[:PAGE_NUMBER_SIZE], "big")] = last = number
        if any(block[PAGE_NUMBER_SIZE:NUMBER_AND_SIZE]):
            frames.update(waiting)
            waiting.clear()
            count = number
    rest = (log.frame(number, header) for number in range(last + 1, log.frames + 1))
    return Log(frames, count, sum(page is not None or not block for block, page in rest))


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
