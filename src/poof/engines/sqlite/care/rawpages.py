"""The pages of a cluster file as they lie on the disk, past SQLite and its cache.

The file is read through the VFS below ours, never by `open()`: see `file.raw`.
"""

import contextlib
from collections.abc import Iterator

import apsw
from cryptography.fernet import InvalidToken

from poof.engines.sqlite.file.raw import open_raw_file
from poof.engines.sqlite.file.unlock import RawFile, newest_header
from poof.format.layout import LOCK_PAGE, PAGE_SIZE, TOKEN_TIMESTAMP_SIZE, TOKEN_VERSION_SIZE, page_count, page_offset
from poof.format.pages import PageCodec, written_at
from poof.format.trust import DataKeys

PAGES_A_STEP = 256
"""How many pages are worked on between reports of progress."""

_TOKEN_START = TOKEN_VERSION_SIZE + TOKEN_TIMESTAMP_SIZE


def read_part(file: apsw.VFSFile, size: int, offset: int) -> bytes:
    """What a file has there: less at its end, and nothing where the disk fails."""
    try:
        return file.xRead(size, offset)
    except apsw.IOError:
        return b""


class PageOpener:
    """Opens sealed pages under the data key of a file, or the previous one. Used by one thread at a time."""

    def __init__(self, keys: DataKeys) -> None:
        self._codecs = [PageCodec(key) for key in (keys.current, keys.previous) if key is not None]

    def open(self, number: int, sealed: bytes) -> bytes | None:
        """Returns the page, or `None` where this is not an authentic token of it."""
        for codec in self._codecs:
            with contextlib.suppress(InvalidToken):
                return bytes(codec.open(number, sealed))
        return None


class RawPages:
    """The pages of an open file. Used by one thread at a time."""

    def __init__(self, file: apsw.VFSFile, keys: DataKeys) -> None:
        self._file = file
        self.use(keys)

    def use(self, keys: DataKeys) -> None:
        """Opens with either of these data keys from now on."""
        self._opener = PageOpener(keys)

    @property
    def count(self) -> int:
        """How many pages the file has at this moment."""
        return page_count(self._file.xFileSize())

    def read(self, number: int) -> bytes | None:
        """Returns the page, opened; `None` where its token is not authentic, or cannot be read."""
        return self._opener.open(number, read_part(self._file, PAGE_SIZE, page_offset(number)))

    def written_at(self, number: int) -> int | None:
        """When the page was written, in seconds since 1970, as its token says; nothing is authenticated."""
        return written_at(read_part(self._file, _TOKEN_START, page_offset(number)))


@contextlib.contextmanager
def raw_pages(raw_file: RawFile, label: str | None = None) -> Iterator[RawPages]:
    """The pages of a cluster file."""
    with open_raw_file(raw_file.path, apsw.SQLITE_OPEN_READONLY, raw_file.base, label) as file:
        yield RawPages(file, newest_header(raw_file, label).keys)


def page_numbers(count: int) -> Iterator[int]:
    """The numbers of that many pages, without the one that is never used."""
    return (number for number in range(1, count + 1) if number != LOCK_PAGE)
