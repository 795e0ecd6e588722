"""Where everything lies in a cluster file and in its write-ahead log: sizes, offsets and the map of pages to slots.

Layer: format; pure arithmetic.

A file is a row of 8192-byte *slots*. Slot 0 is the header block; page p, numbered from 1 as SQLite does, lies in
slot p. There is one exception. SQLite locks bytes at 0x40000000, and on Windows a locked byte cannot be read or written
by others, so that slot must stay unused. SQLite itself never uses the page that its own offsets put there, which is the
page after the slot's number, so those two swap slots.
"""

PAGE_SIZE = 8192
HEADER_BLOCK_SIZE = PAGE_SIZE
HEADER_COPY_SIZE = 3584
HEADER_STARTS = (0, 4096)
"""Where the two copies of the header begin."""
RECORD_SIZE = 128
RECORD_STARTS = (3584, 7680)
"""Where the two state records lie."""

TOKEN_VERSION_SIZE = 1
TOKEN_TIMESTAMP_SIZE = 8
TOKEN_IV_SIZE = 16
TOKEN_MAC_SIZE = 32
CIPHERTEXT_SIZE = 8128
CIPHERTEXT_OFFSET = TOKEN_VERSION_SIZE + TOKEN_TIMESTAMP_SIZE + TOKEN_IV_SIZE
MAC_OFFSET = CIPHERTEXT_OFFSET + CIPHERTEXT_SIZE
TOKEN_SIZE = MAC_OFFSET + TOKEN_MAC_SIZE
SLACK_SIZE = PAGE_SIZE - TOKEN_SIZE

BASE_SIZE = 8
FRAME_NUMBER_SIZE = 4
PAGE_NUMBER_SIZE = 4
PADDING_SIZE = 1
CONTENT_SIZE = CIPHERTEXT_SIZE - BASE_SIZE - FRAME_NUMBER_SIZE - PAGE_NUMBER_SIZE - PADDING_SIZE
RESERVED_SIZE = PAGE_SIZE - CONTENT_SIZE

LOCK_BYTE = 0x40000000
LOCK_SLOT = LOCK_BYTE // PAGE_SIZE
LOCK_PAGE = LOCK_SLOT + 1
"""The page that SQLite never uses (its `PENDING_BYTE_PAGE`)."""

WAL_HEADER_SIZE = 32
"""Of the log as SQLite sees it."""
LOG_HEADER_SIZE = 128
LOG_SHIFT = LOG_HEADER_SIZE - WAL_HEADER_SIZE
"""By how much everything after the header lies further in the file than SQLite has it."""
FRAME_HEADER_SIZE = 24
FRAME_SIZE = FRAME_HEADER_SIZE + PAGE_SIZE

assert (TOKEN_SIZE, SLACK_SIZE, CONTENT_SIZE, RESERVED_SIZE) == (8185, 7, 8111, 81)  # noqa: S101 - stated twice
assert CIPHERTEXT_SIZE % 16 == 0  # noqa: S101


def page_offset(page: int) -> int:
    """The offset in the file of the slot that holds a page."""
    if page == LOCK_SLOT:
        return LOCK_PAGE * PAGE_SIZE
    if page == LOCK_PAGE:
        return LOCK_SLOT * PAGE_SIZE
    return page * PAGE_SIZE


def file_size(pages: int) -> int:
    """The size of a file of so many pages, header block included."""
    last_slot = LOCK_PAGE if pages == LOCK_SLOT else pages
    return (last_slot + 1) * PAGE_SIZE


def page_count(size: int) -> int:
    """How many pages a file of this size holds; the inverse of `file_size`. A torn last slot does not count.

    SQLite never ends a file with the lock page, so a size that `LOCK_SLOT` and `LOCK_PAGE` pages share means the first.
    """
    last_slot = size // PAGE_SIZE - 1
    if last_slot in (LOCK_SLOT, LOCK_PAGE):
        return last_slot - 1
    return max(last_slot, 0)


def frame_number(offset: int) -> int:
    """The number of the frame at an offset of SQLite's, from 1."""
    return (offset - WAL_HEADER_SIZE) // FRAME_SIZE + 1


def frame_start(number: int) -> int:
    """Where in the file of the log the frame of a number begins."""
    return LOG_HEADER_SIZE + (number - 1) * FRAME_SIZE


def frame_position(offset: int) -> tuple[int, int]:
    """Which frame of the write-ahead log an offset lies in: the frame's own offset, and the position inside it."""
    position = (offset - WAL_HEADER_SIZE) % FRAME_SIZE
    return offset - position, position
