"""The rows of keys that documents have for several fields: what they sort by, and under what an index lists them.

The expected rows are those of MongoDB's key generation, which sorts and indexes share there (`btree_key_generator.cpp`,
`sort_key_generator.cpp`), but that it lists null for an element that is no document, which this passes over.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poof.query.fields import FieldOrder, parse_fields
from poof.query.key_rows import Listing, Rows
from poof.query.order import EMPTY_ARRAY_KEY, encode_key, invert, whole_array_key
from tests.support.index_strategies import array_data, orders
from tests.support.query_strategies import values


def sort_key(document: dict[str, Any], path: str, *, descending: bool = False) -> bytes:
    return Rows(parse_fields(path, -1 if descending else 1, what="sort")).sort_key(document, 0)


def index_keys(document: dict[str, Any], path: str) -> tuple[list[bytes], bool]:
    listing = Rows(parse_fields(path, what="index")).listing(document)
    assert not listing.shared
    return [key for (key,) in listing.rows], listing.multikey


def listing(document: dict[str, Any], *fields: Any) -> Listing:
    return Rows(parse_fields(fields, what="index")).listing(document)


# One field.

SORT_KEYS = [
    ({}, "a", None, None),
    ({"a": None}, "a", None, None),
    ({"a": 5}, "a", 5, 5),
    ({"a": {"b": "x"}}, "a.b", "x", "x"),
    ({"a": [3, 1, 2]}, "a", 1, 3),
    ({"a": [3, "x", True]}, "a", 3, True),
    ({"a": [5, None]}, "a", None, 5),
    ({"a": [[1, 9], 5]}, "a", 5, [1, 9]),
    ({"a": [[]]}, "a", [], []),
    ({"a": [{"b": 2}, {"b": 1}, {}]}, "a.b", None, 2),
    ({"a": [{"b": [4, 2]}, {"b": 3}]}, "a.b", 2, 4),
    ({"a": [7, 8]}, "a.1", 8, 8),
    ({"a": [[7, 8]]}, "a.0", [7, 8], [7, 8]),
    ({"a": [{"s": 5}, {"s": 3}]}, "a.0.s", 5, 5),
    ({"a": [{"s": 5}, {"s": 3}]}, "a.2.s", None, None),
    ({"a": [{}, {"s": 3}]}, "a.0.s", None, None),
    ({"a": [4, {"s": 3}]}, "a.0.s", None, None),
    ({"a": [{"0": 7}, 5]}, "a.0", 7, {"0": 7}),
    ({"a": [{"0": {"s": 7}, "s": 9}, {"0": {"s": 8}}, {}]}, "a.0.s", 7, 9),
    ({"a": [{}, {"0": {"s": 8}}]}, "a.0.s", None, 8),
    ({"a": [{"s": 1}, {"0": {}}]}, "a.0.s", 1, 1),
    ({"a": [[{"s": 1}, {"s": 2}]]}, "a.0.s", 1, 2),
    ({"a": [[{"s": 1}, {"s": 2}]]}, "a.0.1.s", 2, 2),
    ({"a": {"0": [7, 8]}}, "a.0", 7, 8),
    ({"a": [5, 6]}, "a.00", None, None),
    ({"a": [1, 2]}, "a.b", None, None),
    ({"a": []}, "a.b", None, None),
    ({"a": 4}, "a.b", None, None),
]


@pytest.mark.parametrize(("document", "path", "ascending", "descending"), SORT_KEYS)
def test_a_document_sorts_by_the_least_or_the_greatest_element(
    document: dict[str, Any], path: str, ascending: Any, descending: Any
) -> None:
    assert sort_key(document, path) == encode_key(ascending)
    assert sort_key(document, path, descending=True) == encode_key(descending)


@pytest.mark.parametrize("value", [None, -(2**63), "", {}, False, [None]])
@pytest.mark.parametrize("descending", [False, True])
def test_an_empty_array_sorts_before_all_else(value: Any, descending: bool) -> None:
    key = sort_key({"a": []}, "a", descending=descending)
    assert key < sort_key({"a": value}, "a", descending=descending)
    assert key < sort_key({}, "a", descending=descending)


def test_an_empty_array_among_others_counts_as_the_least() -> None:
    document = {"a": [{"b": []}, {"b": [2, 1]}]}
    assert sort_key(document, "a.b") == EMPTY_ARRAY_KEY
    assert sort_key(document, "a.b", descending=True) == encode_key(2)


# What an index lists.

INDEX_KEYS = [
    ({}, "a", [None], False),
    ({"a": None}, "a", [None], False),
    ({"a": 5}, "a", [5], False),
    ({"a": {"b": 5}}, "a", [{"b": 5}], False),
    ({"a": {"b": 5}}, "a.b", [5], False),
    ({"a": 4}, "a.b", [None], False),
    ({"a": [1, 2]}, "a.b", [None], True),
    ({"a": []}, "a.b", [None], True),
    ({"a": [{"b": 1}, {"b": 2}, {"b": 1.0}, {}]}, "a.b", [1, 2, None], True),
    ({"a": [7, 8]}, "a.1", [8], True),
    ({"a": [{"s": 5}, {"s": 3}]}, "a.0.s", [5], True),
    ({"a": [[7, 8], 9]}, "a.0", [[7, 8]], True),
]


@pytest.mark.parametrize(("document", "path", "listed", "multikey"), INDEX_KEYS)
def test_an_index_lists_each_value_once(document: dict[str, Any], path: str, listed: list[Any], multikey: bool) -> None:
    assert index_keys(document, path) == ([encode_key(value) for value in listed], multikey)


@pytest.mark.parametrize("array", [[1, 2], [[1, 2]], [None], [{"a": 1}, "x", True]])
def test_an_index_lists_the_elements_of_an_array_and_the_whole(array: list[Any]) -> None:
    keys, multikey = index_keys({"a": array}, "a")
    assert keys == [*map(encode_key, array), whole_array_key(array)]
    assert multikey


def test_an_index_lists_an_empty_array_before_null() -> None:
    assert index_keys({"a": []}, "a") == ([EMPTY_ARRAY_KEY, whole_array_key([])], True)


@given(value=values(), array=st.lists(values(), max_size=3))
def test_a_whole_array_sorts_beyond_all_values(value: Any, array: list[Any]) -> None:
    assert encode_key(value) < whole_array_key(array)


@given(value=values())
def test_a_field_without_an_array_has_the_one_key_that_it_sorts_by(value: Any) -> None:
    document = {"a": value}
    keys, multikey = index_keys(document, "a")
    assert multikey == isinstance(value, list)
    assert multikey or keys == [sort_key(document, "a")]


# Several fields.

EMPTY, XY = object(), [{"x": 1, "y": 9}, {"x": 3, "y": 4}]
ROWS = [
    ({"a": XY}, ["a.x", "a.y"], [(1, 9), (3, 4)]),
    ({"a": [*XY, {"y": 5}, {}]}, ["a.x", "a.y"], [(1, 9), (3, 4), (None, 5), (None, None)]),
    ({"a": [*XY, 7, [{"x": 5}]]}, ["a.x", "a.y"], [(1, 9), (3, 4)]),
    ({"a": XY, "b": 2}, ["a.x", "b", "a.y"], [(1, 2, 9), (3, 2, 4)]),
    ({"a": []}, ["a.x", "a.y"], [(None, None)]),
    ({"a": 5}, ["a.x", "a.y"], [(None, None)]),
    ({"a": [5]}, ["a.x", "a.y", "b"], [(None, None, None)]),
    ({"a": {"x": [1, 2], "y": 3}}, ["a.x", "a.y"], [(1, 3), (2, 3), ("whole", 3)]),
    ({"a": [{"x": [1, 2], "y": 3}, {"x": 4, "y": [5]}]}, ["a.x", "a.y"],
     [(1, 3), (2, 3), ("whole", 3), (4, 5), (4, "whole")]),
    ({"a": [{"b": XY}, {"b": [{"x": 5}]}]}, ["a.b.x", "a.b.y"], [(1, 9), (3, 4), (5, None)]),
    ({"a": [{"b": XY, "z": 6}, {"z": 7}]}, ["a.b.x", "a.z"], [(1, 6), (3, 6), (None, 7)]),
    ({"a": [{"b": [5], "z": 6}]}, ["a.b.x", "a.z"], [(None, 6)]),
    ({"a": {"b": XY}}, ["a.b.x", "a.b.y"], [(1, 9), (3, 4)]),
    ({"a": [{"x": 1}, 2]}, ["a", "a.x"], [({"x": 1}, 1), (2, None), ("whole", None)]),
    ({"a": []}, ["a", "a.x"], [(EMPTY, None), ("whole", None)]),
    ({"a": [5, 6]}, ["a.0", "a.1"], [(5, 6)]),
    ({"a": XY}, ["a.0.x", "a.y"], [(1, 9), (1, 4)]),
    ({"a": XY}, ["a.0.x", "a.1.y"], [(1, 4)]),
    ({"a": [7, *XY]}, ["a.0", "a.y"], [(7, None), (7, 9), (7, 4)]),
    ({"a": [XY]}, ["a.0.x", "a.0.y"], [(1, 9), (3, 4)]),
    ({"a": [[1], [2]]}, ["a.0", "a.1"], [([1], [2])]),
    ({"a": [[], 2]}, ["a.0", "a.1"], [(EMPTY, 2), ("whole", 2)]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "fields", "rows"), ROWS)
def test_fields_of_one_array_have_their_values_from_the_same_element(
    document: dict[str, Any], fields: list[str], rows: list[tuple[Any, ...]]
) -> None:
    found = listing(document, *fields)
    assert [tuple(map(described, row)) for row in found.rows] == [
        tuple("whole" if value == "whole" else described(key_of(value)) for value in row) for row in rows
    ]
    assert found.parallel is None


def key_of(value: Any) -> bytes:
    return EMPTY_ARRAY_KEY if value is EMPTY else encode_key(value)


def described(key: bytes) -> str:
    return "whole" if key[0] == whole_array_key([])[0] else key.hex()


PARALLEL = [
    ({"a": [1], "b": [2]}, ["a", "b"]),
    ({"a": [], "b": []}, ["a", "b"]),
    ({"a": [1], "b": [{"x": 1}]}, ["a", "c", "b.x"]),
    ({"a": [5], "b": [2]}, ["a.x", "b"]),
    ({"a": {"x": [1], "y": [2]}}, ["a.x", "a.y"]),
    ({"a": [{"x": 1}, {"x": [1], "y": [2]}]}, ["a.x", "a.y"]),
    ({"a": [[{"x": 1}], {"x": 2}]}, ["a.0.x", "a.x"]),
    ({"a": [[{"x": 1}], [{"y": 2}]]}, ["a.0.x", "a.1.y"]),
]


@pytest.mark.parametrize(("document", "fields"), PARALLEL)
def test_arrays_in_different_places_are_parallel(document: dict[str, Any], fields: list[str]) -> None:
    found = listing(document, *fields)
    assert found.parallel is not None
    assert {one.name for one in found.parallel} <= set(fields)


def test_parallel_arrays_are_not_multiplied() -> None:
    document = {name: [{"x": number} for number in range(2000)] for name in "abcd"}
    assert len(listing(document, "a.x", "b.x", "c.x", "d.x").rows) < 10_000
    fields = parse_fields([("a.x", 1), ("b.x", -1), ("c.x", 1)], what="sort")
    assert [Rows(fields).sort_key(document, number) for number in range(3)] == [*map(encode_key, (0, 1999, 0))]


@pytest.mark.parametrize(
    ("document", "fields", "shared"),
    [
        ({"a": XY}, ["a.x", "a.y"], True),
        ({"a": []}, ["a", "a.y"], True),
        ({"a": {"x": [1], "y": 2}}, ["a.x", "a.y"], False),
        ({"a": XY, "b": 1}, ["a.x", "b"], False),
        ({"a": {"x": 1, "y": 2}}, ["a.x", "a.y"], False),
    ],
)
def test_an_index_knows_whether_fields_share_an_array(
    document: dict[str, Any], fields: list[str], shared: bool
) -> None:
    assert listing(document, *fields).shared is shared


SORTED = [
    ([("a.x", 1), ("a.y", 1)], (1, 9)),
    ([("a.x", -1), ("a.y", 1)], (3, 2)),
    ([("a.x", -1), ("a.y", -1)], (3, 4)),
    ([("a.y", 1), ("a.x", 1)], (2, 3)),
    ([("a.y", -1), ("a.x", 1)], (9, 1)),
    ([("b", 1), ("a.y", 1), ("a.x", -1)], (7, 2, 3)),
]


@pytest.mark.parametrize(("sort", "keys"), SORTED)
def test_a_document_sorts_by_the_first_of_its_rows(sort: list[tuple[str, int]], keys: tuple[Any, ...]) -> None:
    document = {"a": [{"x": 3, "y": 4}, {"x": 1, "y": 9}, {"x": 3, "y": 2}], "b": 7}
    rows = Rows(parse_fields(sort, what="sort"))
    assert tuple(rows.sort_key(document, number) for number in range(len(sort))) == tuple(map(encode_key, keys))


@given(document=array_data(), fields=orders(3))
def test_what_a_document_sorts_by_is_the_first_row_that_an_index_lists(
    document: dict[str, Any], fields: tuple[FieldOrder, ...]
) -> None:
    rows = Rows(fields)
    found = rows.listing(document)
    if found.parallel is None:
        assert rows.first(document) == min(row for row in found.rows if not lists_a_whole(row, fields))


def lists_a_whole(row: tuple[bytes, ...], fields: tuple[FieldOrder, ...]) -> bool:
    keys = (invert(key) if field.descending else key for key, field in zip(row, fields, strict=True))
    return any(key[0] == whole_array_key([])[0] for key in keys)
