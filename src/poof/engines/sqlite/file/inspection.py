"""What a cluster file says of itself to everybody: its header, read without a key."""

import os
from dataclasses import dataclass

import apsw

from poof.engines.sqlite.file.raw import check_accessible, is_legacy, open_raw_file
from poof.format.header import Header
from poof.format.layout import HEADER_BLOCK_SIZE
from poof.format.trust import readable_copies


@dataclass(frozen=True)
class FileInfo:
    """A file, and its header as it stands there: only a key can tell whether it was altered."""

    size: int
    """Bytes."""
    header: Header | None
    """`None`: a file of PoofDB 0.x, which has none."""


def inspect(path: str) -> FileInfo:
    """Reads the header of a cluster file.

    Raises:
        NotAPoofFileError, NewerFormatError, DamagedHeaderError: the file holds no header of this format.
        AccessDeniedError, StorageError: the system does not let it be read.
    """
    path = os.path.realpath(path)
    check_accessible(path)
    with open_raw_file(path, apsw.SQLITE_OPEN_READONLY) as file:
        block, size = file.xRead(HEADER_BLOCK_SIZE, 0), file.xFileSize()
    if is_legacy(block):
        return FileInfo(size, None)
    return FileInfo(size, readable_copies(block, path)[0].header)
