"""Pages of SQLite's B-trees, read without SQLite: cells, records, overflow, the list of free pages.

Layer: format; pure.

That is for files which SQLite itself refuses because a page is gone. The rules are those of SQLite's file format
(https://sqlite.org/fileformat2.html#b_tree_pages), for pages of 8192 bytes of which 81 are reserved.

Invariant: whatever bytes a page holds, reading it gives what is there or raises `MalformedPageError`, in bounded time.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from poof.format.layout import CONTENT_SIZE

INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
"""The first byte of a page says of which kind it is."""
KINDS = frozenset({INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE})

FILE_HEADER_SIZE = 100
"""What stands before the B-tree in page 1."""
PAGE_COUNT = slice(28, 32)
FIRST_FREE = slice(32, 36)
FREE_COUNT = slice(36, 40)
"""Where that says how many pages there are, which is the first of the list of free pages, and how many are free."""

OVERFLOW_SIZE = CONTENT_SIZE - 4
"""How much of a payload one overflow page holds, after the number of the next."""

_LEAF_HEADER, _INTERIOR_HEADER = 8, 12
_MAX_LEAF = CONTENT_SIZE - 35
_MAX_INDEX = (CONTENT_SIZE - 12) * 64 // 255 - 23
_MIN_LOCAL = (CONTENT_SIZE - 12) * 32 // 255 - 23
"""How much of a payload lies in its cell, where it does not fit whole."""
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Bytes of an integer, by the serial type of its column."""
_FLOAT, _ZERO, _ONE, _FIRST_BLOB = 7, 8, 9, 12
_LONGEST_VARINT = 9
_MAX_TRUNK = CONTENT_SIZE // 4 - 2

Value = int | float | str | bytes | None


class MalformedPageError(Exception):
    """The bytes are not what they should be. It reaches no user."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a page: an entry, the way to a part of the tree, or both."""

    rowid: int = 0
    """Of a table."""
    child: int = 0
    """The page with what comes before this entry; 0 in a leaf."""
    size: int = 0
    """Of the whole payload."""
    local: bytes = b""
    """As much of the payload as lies in the page."""
    overflow: int = 0
    """The page where it goes on, or 0."""


@dataclass(frozen=True, slots=True)
class TreePage:
    """A page of a B-tree."""

    kind: int
    cells: Sequence[Cell]
    right: int = 0
    """The page with what comes after the last cell; 0 in a leaf."""

    @property
    def children(self) -> list[int]:
        """The pages below this one, in order."""
        return [*(cell.child for cell in self.cells), self.right] if self.right else []


def kind_of(number: int, page: bytes) -> int:
    """The first byte of a page's B-tree: one of `KINDS`, if it is one."""
    return page[FILE_HEADER_SIZE if number == 1 else 0]


def parse_page(number: int, page: bytes) -> TreePage:
    """The B-tree page in an opened page.

    Raises:
        MalformedPageError: it is none.
    """
    start = FILE_HEADER_SIZE if number == 1 else 0
    kind = page[start]
    if kind not in KINDS:
        raise MalformedPageError
    is_interior = kind in (INTERIOR_INDEX, INTERIOR_TABLE)
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    pointers = start + (_INTERIOR_HEADER if is_interior else _LEAF_HEADER)
    end = pointers + 2 * count
    if end > CONTENT_SIZE:
        raise MalformedPageError
    offsets = struct.unpack_from(f">{count}H", page, pointers)
    if offsets and (min(offsets) < end or max(offsets) >= CONTENT_SIZE):
        raise MalformedPageError
    right = int.from_bytes(page[start + 8 : start + 12], "big") if is_interior else 0
    if is_interior and not right:
        raise MalformedPageError
    return TreePage(kind, [_parse_cell(kind, page, offset) for offset in offsets], right)


def decode_record(data: bytes, columns: int) -> list[Value]:
    """The columns of a record, of which `data` may hold only the beginning: those that are in it whole.

    Raises:
        MalformedPageError: it is not a record of so many columns.
    """
    header_size, position = _varint(data, 0)
    types = []
    while position < header_size:
        serial, position = _varint(data, position)
        types.append(serial)
    if position != header_size or len(types) != columns:
        raise MalformedPageError
    values: list[Value] = []
    for serial in types:
        size = _size_of(serial)
        if position + size > len(data):
            break
        values.append(_decode(serial, data[position : position + size]))
        position += size
    return values


def split_overflow(page: bytes) -> tuple[int, bytes]:
    """The number of the next overflow page, or 0, and the part of the payload in this one."""
    return int.from_bytes(page[:4], "big"), page[4:CONTENT_SIZE]


def split_trunk(page: bytes) -> tuple[int, Sequence[int]]:
    """The number of the next page of the list of free pages, or 0, and the free pages that this one lists.

    Raises:
        MalformedPageError: it is no page of this list.
    """
    following, count = struct.unpack_from(">2I", page)
    if count > _MAX_TRUNK:
        raise MalformedPageError
    return following, struct.unpack_from(f">{count}I", page, 8)


def _parse_cell(kind: int, page: bytes, position: int) -> Cell:
    child = rowid = 0
    if kind in (INTERIOR_INDEX, INTERIOR_TABLE):
        child = int.from_bytes(page[position : position + 4], "big")
        position += 4
        if not child:
            raise MalformedPageError
    if kind == INTERIOR_TABLE:
        return Cell(_signed(_varint(page, position)[0]), child)
    size, position = _varint(page, position)
    if kind == LEAF_TABLE:
        rowid, position = _varint(page, position)
    local = _local_size(size, _MAX_LEAF if kind == LEAF_TABLE else _MAX_INDEX)
    end = position + local
    overflow = 0
    if local < size:
        overflow = int.from_bytes(page[end : end + 4], "big")
        if not overflow:
            raise MalformedPageError
    if end + (4 if overflow else 0) > CONTENT_SIZE:
        raise MalformedPageError
    return Cell(_signed(rowid), child, size, page[position:end], overflow)


def _local_size(size: int, most: int) -> int:
    if size <= most:
        return size
    local = _MIN_LOCAL + (size - _MIN_LOCAL) % OVERFLOW_SIZE
    return local if local <= most else _MIN_LOCAL


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + _LONGEST_VARINT], start=1):
        if index == _LONGEST_VARINT:
            return value << 8 | byte, position + index
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + index
    raise MalformedPageError


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _size_of(serial: int) -> int:
    if serial >= _FIRST_BLOB:
        return (serial - _FIRST_BLOB) // 2
    return 8 if serial == _FLOAT else _INTEGERS.get(serial, 0)


def _decode(serial: int, data: bytes) -> Value:
    if serial >= _FIRST_BLOB:
        if serial % 2 == 0:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise MalformedPageError from None
    if serial in _INTEGERS:
        return int.from_bytes(data, "big", signed=True)
    if serial == _FLOAT:
        value: float = struct.unpack(">d", data)[0]
        return value
    if serial in (_ZERO, _ONE):
        return serial - _ZERO
    if serial:
        raise MalformedPageError
    return None
