"""The slots of a cluster file as they lie on the disk, past SQLite and its cache.

Layer: storage. The file is read through the VFS below ours, never by `open()`: see `files`.
"""

import contextlib
from collections.abc import Iterator

import apsw
from cryptography.fernet import InvalidToken

from poof.format.layout import LOCK_PAGE, PAGE_SIZE, TOKEN_TIMESTAMP_SIZE, TOKEN_VERSION_SIZE, page_count, page_offset
from poof.format.pages import PageCodec, written_at
from poof.storage.files import Source, raw_file

PAGES_A_STEP = 256
"""How many pages are worked on between reports of progress."""

_TOKEN_START = TOKEN_VERSION_SIZE + TOKEN_TIMESTAMP_SIZE


class RawPages:
    """The pages of an open file. Used by one thread at a time."""

    def __init__(self, file: apsw.VFSFile, data_key: bytes) -> None:
        self._file = file
        self._codec = PageCodec(data_key)

    @property
    def count(self) -> int:
        """How many pages the file has at this moment."""
        return page_count(self._file.xFileSize())

    def read(self, number: int) -> bytes | None:
        """The page, opened; `None` where its slot is not an authentic token of it, or is not there."""
        slot = self._file.xRead(PAGE_SIZE, page_offset(number))
        try:
            return bytes(self._codec.open(number, slot))
        except InvalidToken:
            return None

    def written_at(self, number: int) -> int | None:
        """When the page was written, in seconds since 1970, as its token says; nothing is authenticated."""
        return written_at(self._file.xRead(_TOKEN_START, page_offset(number)))


@contextlib.contextmanager
def raw_pages(source: Source, label: str | None = None) -> Iterator[RawPages]:
    """The pages of a cluster file."""
    with raw_file(source.path, apsw.SQLITE_OPEN_READONLY, source.base, label) as file:
        yield RawPages(file, source.data_key)


def page_numbers(count: int) -> Iterator[int]:
    """The numbers of that many pages, without the one that is never used."""
    return (number for number in range(1, count + 1) if number != LOCK_PAGE)
