"""Where everything lies in a cluster file and in its write-ahead log: sizes, offsets and the map of pages to places.

Pure arithmetic.

A file is a row of 8192-byte *places*. Place 0 is the header block; page p, numbered from 1 as SQLite does, lies in
place p. There is one exception. SQLite locks bytes at 0x40000000, and on Windows a locked byte cannot be read or
written by others, so that place must stay unused. SQLite itself never uses the page that its own offsets put there,
which is the page after the number of the place. So those two are swapped.
"""

PAGE_SIZE = 8192
HEADER_COPY_SIZE = 4096
HEADER_BLOCK_SIZE = 2 * HEADER_COPY_SIZE

TOKEN_VERSION_SIZE = 1
TOKEN_TIMESTAMP_SIZE = 8
TOKEN_IV_SIZE = 16
TOKEN_MAC_SIZE = 32
CIPHERTEXT_SIZE = 8128
CIPHERTEXT_OFFSET = TOKEN_VERSION_SIZE + TOKEN_TIMESTAMP_SIZE + TOKEN_IV_SIZE
MAC_OFFSET = CIPHERTEXT_OFFSET + CIPHERTEXT_SIZE
TOKEN_SIZE = MAC_OFFSET + TOKEN_MAC_SIZE
SLACK_SIZE = PAGE_SIZE - TOKEN_SIZE

PAGE_NUMBER_SIZE = 4
PADDING_SIZE = 1
CONTENT_SIZE = CIPHERTEXT_SIZE - PAGE_NUMBER_SIZE - PADDING_SIZE
RESERVED_SIZE = PAGE_SIZE - CONTENT_SIZE

LOCK_BYTE = 0x40000000
LOCK_PLACE = LOCK_BYTE // PAGE_SIZE
LOCK_PAGE = LOCK_PLACE + 1
"""The page that SQLite never uses (its `PENDING_BYTE_PAGE`)."""

WAL_HEADER_SIZE = 32
FRAME_HEADER_SIZE = 24
FRAME_SIZE = FRAME_HEADER_SIZE + PAGE_SIZE

assert HEADER_BLOCK_SIZE == PAGE_SIZE  # noqa: S101 - constants stated twice must agree
assert (TOKEN_SIZE, SLACK_SIZE, CONTENT_SIZE, RESERVED_SIZE) == (8185, 7, 8123, 69)  # noqa: S101
assert CIPHERTEXT_SIZE % 16 == 0  # noqa: S101


def page_offset(page: int) -> int:
    """The offset in the file of the place that holds a page."""
    if page == LOCK_PLACE:
        return LOCK_PAGE * PAGE_SIZE
    if page == LOCK_PAGE:
        return LOCK_PLACE * PAGE_SIZE
    return page * PAGE_SIZE


def file_size(pages: int) -> int:
    """The size of a file of so many pages, header block included."""
    last_place = LOCK_PAGE if pages == LOCK_PLACE else pages
    return (last_place + 1) * PAGE_SIZE


def page_count(size: int) -> int:
    """How many pages a file of this size holds; the inverse of `file_size`. A torn last place does not count.

    SQLite never ends a file with the lock page. So a size that `LOCK_PLACE` and `LOCK_PAGE` pages share means the
    first.
    """
    last_place = size // PAGE_SIZE - 1
    if last_place in (LOCK_PLACE, LOCK_PAGE):
        return last_place - 1
    return max(last_place, 0)


def frame_position(offset: int) -> tuple[int, int]:
    """Which frame of the write-ahead log an offset lies in: the frame's own offset, and the position inside it."""
    position = (offset - WAL_HEADER_SIZE) % FRAME_SIZE
    return offset - position, position
