"""The pages of a damaged cluster that nobody has open: what is whole, what is free, and what belongs to which tree.

Layer: storage. SQLite is not used: it refuses a tree that a page is missing from.

Invariants: no page is used that did not authenticate in its place; one in the log counts before the one in the file;
a page is part of one tree only; work and memory are bounded by the number of pages, whatever these hold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from poof.engines.sqlite.care.logs import Log, RawLog
from poof.engines.sqlite.care.rawpages import PAGES_A_STEP, RawPages, page_numbers
from poof.engines.sqlite.turns.jobs import Job
from poof.format.btree import (
    FIRST_FREE,
    FREE_COUNT,
    INTERIOR_INDEX,
    INTERIOR_TABLE,
    LEAF_INDEX,
    LEAF_TABLE,
    PAGE_COUNT,
    Cell,
    MalformedPageError,
    TreePage,
    Value,
    decode_record,
    kind_of,
    parse_page,
    split_overflow,
    split_trunk,
)

DEPTH = 20
"""No tree is deeper: 2^32 pages are not enough for it."""
CACHED_PAGES = 64

_UNKNOWN, _DAMAGED, _FREE, _USED, _LEAF = range(5)
"""What is known of a page. A leaf of a table is one that no tree has been found to hold."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table, or an entry of an index."""

    values: list[Value]
    """Its columns, as far as they are there."""
    is_whole: bool
    overflow: Sequence[int] = ()
    """The pages that it goes on in."""


class DamagedTreeError(Exception):
    """The way through a tree ends at a page that is not whole. It reaches no user."""


class RecoveredPages:
    """The pages of a file and its log, as far as they are whole."""

    def __init__(self, file: RawPages, raw_log: RawLog | None, log: Log) -> None:
        self._file = file
        self._raw_log = raw_log
        self._log = log
        self._damaged: set[int] = set()
        first = self.page(1)
        self.count = max(file.count, max(log.frames, default=0))
        self.knows_free_pages = False
        """Whether the whole list of free pages could be read, so that every other page is in use."""
        if first is not None:
            self.count = min(self.count, int.from_bytes(first[PAGE_COUNT], "big") or self.count)
        self._states = bytearray(self.count + 1)
        self._missing = 0
        if first is not None:
            self._missing = max(0, int.from_bytes(first[PAGE_COUNT], "big") - self.count)
            self._note_free_pages(first)
        self.tree_page = lru_cache(CACHED_PAGES)(self._tree_page)

    def page(self, number: int) -> bytes | None:
        """A page, opened; `None` where it is not whole.

        That is noted each time: a failing disk gives a page once, and not again.
        """
        page = self._read(number)
        if page is None:
            self._damaged.add(number)
        return page

    @property
    def damaged(self) -> list[int]:
        """The numbers of the pages that were not whole every time that they were read."""
        return sorted(number for number in self._damaged if number <= self.count)

    def _read(self, number: int) -> bytes | None:
        frame = self._log.frames.get(number)
        if frame is None or self._raw_log is None:
            return self._file.read(number)
        if self._log.left and (self._file.written_at(number) or 0) > (self._raw_log.written_at(frame) or 0):
            # The log lost its end, but some of that had been copied into the file.
            newer = self._file.read(number)
            if newer is not None:
                return newer
        return self._raw_log.page(frame, number)

    def written_at(self, number: int) -> int:
        """About when a page was written, in seconds since 1970."""
        frame = self._log.frames.get(number)
        if frame is None or self._raw_log is None:
            return self._file.written_at(number) or 0
        return self._raw_log.written_at(frame) or 0

    def survey(self, job: Job, total: int) -> None:
        """Looks at every page once."""
        for number in page_numbers(self.count):
            page = self.page(number)
            if page is None:
                self._states[number] = _DAMAGED
            elif kind_of(number, page) == LEAF_TABLE and self._states[number] == _UNKNOWN:
                self._states[number] = _LEAF
            if number % PAGES_A_STEP == 0:
                job.report(number, total)

    @property
    def missing(self) -> int:
        """How many pages the database has beyond the end of the file and of the log."""
        return self._missing

    def lone_leaves(self) -> Iterator[int]:
        """The leaves of tables that no tree was found to hold, and that are not known to be free."""
        for number in page_numbers(self.count):
            if self._states[number] == _LEAF:
                yield number

    def take_leaf(self, number: int) -> None:
        """Notes that it is known what a lone leaf belongs to."""
        self._states[number] = _USED

    def leaves(self, root: int) -> Iterator[TreePage | None]:
        """The leaves of a table in order, each of which is taken; `None` for each part that is not there any more."""
        ways = [root]
        while ways:
            number = ways.pop()
            page = self._take(number, (INTERIOR_TABLE, LEAF_TABLE))
            if page is None:
                yield None
            elif page.kind == LEAF_TABLE:
                yield page
            else:
                ways.extend(reversed(page.children))

    def entries(self, root: int) -> Iterator[Cell]:
        """The entries of an index, in any order, as far as they are there."""
        ways = [root]
        while ways:
            page = self._take(ways.pop(), (INTERIOR_INDEX, LEAF_INDEX))
            if page is not None:
                yield from page.cells
                ways.extend(reversed(page.children))

    def find(self, root: int, key: bytes) -> int | None:
        """The number under which an index of texts lists a key.

        Raises:
            DamagedTreeError: whether it does is not to be known.
        """
        number = root
        for _ in range(DEPTH):
            page = self.tree_page(number)
            if page is None or page.kind not in (INTERIOR_INDEX, LEAF_INDEX):
                raise DamagedTreeError
            low, high = 0, len(page.cells)
            while low < high:
                middle = (low + high) // 2
                listed, row = _index_entry(page.cells[middle])
                if listed == key:
                    return row
                low, high = (middle + 1, high) if listed < key else (low, middle)
            if page.kind == LEAF_INDEX:
                return None
            number = page.children[low]
        raise DamagedTreeError

    def record(self, cell: Cell, columns: int) -> Record:
        """The columns of a record; only the first of them where the overflow of a large one is lost.

        Raises:
            MalformedPageError: it is not a record of so many columns.
        """
        values = decode_record(cell.local, columns)
        if not cell.overflow:
            return Record(values, len(values) == columns)
        parts, held, number = [cell.local], len(cell.local), cell.overflow
        overflow = []
        while held < cell.size:
            page = self.page(number) if self._may_hold_overflow(number) else None
            if page is None:
                return Record(values, False)
            overflow.append(number)
            number, part = split_overflow(page)
            parts.append(part[: cell.size - held])
            held += len(parts[-1])
        if number:
            return Record(values, False)
        return Record(decode_record(b"".join(parts), columns), True, overflow)

    def take_overflow(self, overflow: Sequence[int]) -> None:
        """Notes that these pages are part of a record, and so of no other."""
        for number in overflow:
            self._states[number] = _USED

    def _may_hold_overflow(self, number: int) -> bool:
        return 0 < number <= self.count and self._states[number] == _UNKNOWN

    def _take(self, number: int, kinds: tuple[int, int]) -> TreePage | None:
        """A page of a tree, which is nobody else's."""
        if not 0 < number <= self.count or self._states[number] not in (_UNKNOWN, _LEAF):
            return None
        page = self.tree_page(number)
        if page is None or page.kind not in kinds:
            return None
        self._states[number] = _USED
        return page

    def _tree_page(self, number: int) -> TreePage | None:
        page = self.page(number) if 0 < number <= self.count else None
        try:
            return None if page is None else parse_page(number, page)
        except MalformedPageError:
            return None

    def _note_free_pages(self, first: bytes) -> None:
        number, expected = int.from_bytes(first[FIRST_FREE], "big"), int.from_bytes(first[FREE_COUNT], "big")
        found = 0
        while number and self._set_free(number):
            found += 1
            page = self.page(number)
            if page is None:
                return
            try:
                number, free = split_trunk(page)
            except MalformedPageError:
                return
            found += sum(map(self._set_free, free))
        self.knows_free_pages = found == expected

    def _set_free(self, number: int) -> bool:
        if not 0 < number <= self.count or self._states[number] == _FREE:
            return False
        self._states[number] = _FREE
        return True


def _index_entry(cell: Cell) -> tuple[bytes, int]:
    """An entry of an index of texts: the text, and the number of its row."""
    try:
        values = decode_record(cell.local, 2)
    except MalformedPageError:
        raise DamagedTreeError from None
    match values:
        case [str(text), int(row)]:
            return text.encode(), row
    raise DamagedTreeError
