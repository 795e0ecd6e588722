"""The map of pages to slots: no two pages share one, none lies on SQLite's lock bytes, sizes and counts are inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poof.format.layout import (
    FRAME_SIZE,
    HEADER_BLOCK_SIZE,
    LOCK_BYTE,
    LOCK_PAGE,
    LOCK_PLACE,
    PAGE_SIZE,
    WAL_HEADER_SIZE,
    file_size,
    frame_position,
    page_count,
    page_offset,
)

SQLITE_LOCK_BYTES = 512
"""SQLite locks at most this many bytes from the lock byte on."""
MAX_PAGES = 2**32 - 2
"""SQLite's SQLITE_MAX_PAGE_COUNT."""

WIDE = [number for number in range(1, 2 * LOCK_PLACE + 100) if number != LOCK_PAGE]
"""All pages that SQLite uses in a file twice as long as the way to the lock page."""

# Anywhere, and often close to the lock page.
pages = st.one_of(st.integers(1, MAX_PAGES), st.integers(LOCK_PLACE - 5, LOCK_PLACE + 5)).filter(
    lambda number: number != LOCK_PAGE
)


def test_no_two_pages_share_a_slot() -> None:
    assert len({page_offset(number) for number in WIDE}) == len(WIDE)


def test_every_page_starts_a_slot() -> None:
    assert all(page_offset(number) % PAGE_SIZE == 0 for number in WIDE)


def test_every_slot_before_the_end_holds_a_page_but_the_header_and_the_lock_slot() -> None:
    used = {page_offset(number) // PAGE_SIZE for number in WIDE}
    assert set(range(max(used) + 1)) - used == {0, LOCK_PLACE}


@given(pages, pages)
def test_two_pages_anywhere_do_not_overlap(one: int, other: int) -> None:
    assert one == other or abs(page_offset(one) - page_offset(other)) >= PAGE_SIZE


@given(pages)
def test_no_page_lies_on_the_header_or_on_the_lock_bytes(number: int) -> None:
    start = page_offset(number)
    assert start >= HEADER_BLOCK_SIZE
    assert start + PAGE_SIZE <= LOCK_BYTE or start >= LOCK_BYTE + PAGE_SIZE


def test_the_lock_bytes_lie_in_one_slot() -> None:
    assert LOCK_BYTE == 0x40000000 == LOCK_PLACE * PAGE_SIZE
    assert SQLITE_LOCK_BYTES <= PAGE_SIZE


def test_the_unused_page_is_the_one_that_sqlite_leaves_out() -> None:
    # https://sqlite.org/fileformat2.html#the_lock_byte_page: in SQLite's own offsets, where page 1 is at 0.
    assert (LOCK_PAGE - 1) * PAGE_SIZE == LOCK_BYTE


def test_only_the_two_pages_at_the_lock_byte_leave_their_places() -> None:
    moved = [number for number in range(1, 2 * LOCK_PLACE) if page_offset(number) != number * PAGE_SIZE]
    assert moved == [LOCK_PLACE, LOCK_PAGE]


@given(pages)
def test_a_count_of_pages_comes_back_from_the_size_of_the_file(count: int) -> None:
    assert page_count(file_size(count)) == count


def test_every_count_around_the_lock_page_comes_back() -> None:
    assert [page_count(file_size(count)) for count in WIDE] == WIDE


@given(pages, st.integers(1, PAGE_SIZE - 1))
def test_a_torn_last_slot_does_not_count(count: int, torn: int) -> None:
    assert page_count(file_size(count) + torn) == count


@pytest.mark.parametrize("size", [0, 1, 4096, HEADER_BLOCK_SIZE - 1, HEADER_BLOCK_SIZE, HEADER_BLOCK_SIZE + 1])
def test_a_file_with_no_whole_page_has_none(size: int) -> None:
    assert page_count(size) == 0


def test_a_file_of_no_pages_is_its_header() -> None:
    assert file_size(0) == HEADER_BLOCK_SIZE


@given(pages, pages)
def test_more_pages_make_a_larger_file(one: int, other: int) -> None:
    assert (one < other) == (file_size(one) < file_size(other))


@given(st.integers(0, 2**45), st.integers(0, 2**45))
def test_a_larger_file_has_no_fewer_pages(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert page_count(small) <= page_count(large)


@pytest.mark.parametrize("offset", range(-3, 4))
def test_around_the_lock_page_a_slot_more_is_never_a_page_less(offset: int) -> None:
    size = (LOCK_PLACE + offset) * PAGE_SIZE
    assert 0 <= page_count(size + PAGE_SIZE) - page_count(size) <= 2


@given(pages, st.data())
def test_every_page_lies_whole_inside_its_file(count: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(1, count).filter(lambda number: number != LOCK_PAGE))
    assert page_offset(number) + PAGE_SIZE <= file_size(count)


def test_the_last_slot_of_a_file_holds_a_page() -> None:
    ends = {page_offset(number) + PAGE_SIZE for number in WIDE}
    assert all(file_size(count) in ends for count in WIDE)


@given(st.integers(0, 10**6), st.integers(0, FRAME_SIZE - 1))
def test_an_offset_in_the_log_is_a_frame_and_a_position_in_it(frame: int, position: int) -> None:
    start = WAL_HEADER_SIZE + frame * FRAME_SIZE
    assert frame_position(start + position) == (start, position)
