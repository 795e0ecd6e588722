"""The slots of a cluster file as they lie on the disk, past SQLite and its cache.

Layer: storage. The file is read through the VFS below ours, never by `open()`: see `files`.
"""

import contextlib
from collections.abc import Iterator

import apsw
from cryptography.fernet import InvalidToken

from poof.engines.sqlite.file.raw import raw_file
from poof.engines.sqlite.file.unlock import Source, newest_header
from poof.format.layout import LOCK_PAGE, PAGE_SIZE, TOKEN_TIMESTAMP_SIZE, TOKEN_VERSION_SIZE, page_count, page_offset
from poof.format.pages import PageCodec, written_at
from poof.format.records import Place
from poof.format.subkeys import DataKeys

PAGES_A_STEP = 256
"""How many pages are worked on between reports of progress."""

_TOKEN_START = TOKEN_VERSION_SIZE + TOKEN_TIMESTAMP_SIZE


def read_part(file: apsw.VFSFile, size: int, offset: int) -> bytes:
    """What a file has there: less at its end, and nothing where the disk fails."""
    try:
        return file.xRead(size, offset)
    except apsw.IOError:
        return b""


class SlotOpener:
    """Opens slots under the data key of a file, or the previous one. Used by one thread at a time."""

    def __init__(self, keys: DataKeys) -> None:
        self._codecs = [PageCodec(key.page) for key in keys]

    def open(self, number: int, slot: bytes, place: Place | None = None) -> bytes | None:
        """The page in a slot; `None` where that is not an authentic token of it, written in `place`, if given."""
        for codec in self._codecs:
            with contextlib.suppress(InvalidToken):
                page = bytes(codec.open(number, slot))
                return page if place in (None, codec.place) else None
        return None


class RawPages:
    """The pages of an open file. Used by one thread at a time."""

    def __init__(self, file: apsw.VFSFile, keys: DataKeys) -> None:
        self._file = file
        self.use(keys)

    def use(self, keys: DataKeys) -> None:
        """Opens with either of these data keys from now on."""
        self._slots = SlotOpener(keys)

    @property
    def count(self) -> int:
        """How many pages the file has at this moment."""
        return page_count(self._file.xFileSize())

    def read(self, number: int) -> bytes | None:
        """The page, opened; `None` where its slot is not an authentic token of it, or cannot be read."""
        return self._slots.open(number, read_part(self._file, PAGE_SIZE, page_offset(number)))

    def written_at(self, number: int) -> int | None:
        """When the page was written, in seconds since 1970, as its token says; nothing is authenticated."""
        return written_at(read_part(self._file, _TOKEN_START, page_offset(number)))


@contextlib.contextmanager
def raw_pages(source: Source, label: str | None = None) -> Iterator[RawPages]:
    """The pages of a cluster file."""
    with raw_file(source.path, apsw.SQLITE_OPEN_READONLY, source.base, label) as file:
        yield RawPages(file, newest_header(source, label).keys)


def page_numbers(count: int) -> Iterator[int]:
    """The numbers of that many pages, without the one that is never used."""
    return (number for number in range(1, count + 1) if number != LOCK_PAGE)
