"""B-trees read without SQLite: what SQLite wrote is found again, and no bytes do harm."""

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poof.format.btree import (
    LEAF_TABLE,
    MalformedPageError,
    decode_record,
    parse_page,
    split_overflow,
    split_trunk,
)
from poof.format.layout import CONTENT_SIZE, PAGE_SIZE, RESERVED_SIZE

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=3000),
    st.binary(max_size=20_000),
)


def pages_of(rows):
    """The pages of a database with these rows, as SQLite lays them out in a cluster."""
    connection = apsw.Connection(":memory:")
    assert connection.reserve_bytes(reserve=RESERVED_SIZE) == RESERVED_SIZE
    connection.pragma("page_size", PAGE_SIZE)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    content = connection.serialize("main")
    connection.close()
    return {start // PAGE_SIZE + 1: content[start : start + PAGE_SIZE] for start in range(0, len(content), PAGE_SIZE)}


def rows_in(pages):
    """The rows of the table, whose root is page 2."""
    found = []
    ways = [2]
    while ways:
        page = parse_page(ways[0], pages[ways.pop(0)])
        ways = page.children + ways
        for cell in page.cells if page.kind == LEAF_TABLE else ():
            payload, following = cell.local, cell.overflow
            while following:
                following, part = split_overflow(pages[following])
                payload += part
            found.append((cell.rowid, *decode_record(payload[: cell.size], 3)[1:]))
    return found


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.tuples(VALUES, VALUES), max_size=60))
def test_every_row_that_sqlite_wrote_is_found(rows):
    rows = [(number, *values) for number, values in sorted(rows.items())]
    assert rows_in(pages_of(rows)) == rows


@pytest.mark.parametrize("size", [*range(CONTENT_SIZE - 45, CONTENT_SIZE - 25), *range(9000, 30_000, 1009)])
def test_payloads_of_every_size_are_put_together(size):
    rows = [(1, "x" * size, None), (2, b"y" * size, 5)]
    assert rows_in(pages_of(rows)) == rows


def test_a_tree_of_many_pages_comes_in_order():
    rows = [(number, "x" * 500, number) for number in range(20_000)]
    assert rows_in(pages_of(rows)) == rows


def test_a_record_without_its_end_has_its_first_columns():
    pages = pages_of([(1, "first", "x" * 20_000)])
    (cell,) = parse_page(2, pages[2]).cells
    assert decode_record(cell.local, 3) == [None, "first"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([2, 5, 10, 13]), st.integers(0, 4100), st.binary(max_size=2000), st.integers(0, 6000))
def test_no_page_does_harm(kind, cells, noise, place):
    page = bytearray(PAGE_SIZE)
    page[place : place + len(noise)] = noise
    page[0] = kind
    page[3:5] = cells.to_bytes(2, "big")
    for read in (lambda: parse_page(2, bytes(page)), lambda: decode_record(noise, 3), lambda: split_trunk(page)):
        try:
            read()
        except MalformedPageError:
            continue
