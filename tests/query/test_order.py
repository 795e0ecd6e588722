"""The order of values across all types, and the keys that sort that way."""

import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poof.query.order import (
    EMPTY_ARRAY_KEY,
    decode_scalar,
    encode_key,
    equal,
    invert,
    type_of,
    whole_array_key,
)
from poof.query.paths import MISSING
from tests.support.query_strategies import values

TYPES = ("null", "number", "string", "object", "array", "bool")


def compare(first: Any, second: Any) -> int:
    """-1, 0 or 1: the reference, written from MongoDB's manual."""
    kinds = TYPES.index(type_of(first)), TYPES.index(type_of(second))
    if kinds[0] != kinds[1]:
        return -1 if kinds[0] < kinds[1] else 1
    match type_of(first):
        case "null":
            return 0
        case "string":
            return sign(first.encode(), second.encode())
        case "object":
            pairs = list(zip(first.items(), second.items(), strict=False))
            steps = [
                step
                for (name, one), (other_name, other) in pairs
                for step in compare_pair(name, one, other_name, other)
            ]
            return next((step for step in steps if step), sign(len(first), len(second)))
        case "array":
            steps = [compare(one, other) for one, other in zip(first, second, strict=False)]
            return next((step for step in steps if step), sign(len(first), len(second)))
        case _:
            return sign(first, second)


def compare_pair(name: str, value: Any, other_name: str, other: Any) -> tuple[int, int, int]:
    kinds = sign(TYPES.index(type_of(value)), TYPES.index(type_of(other)))
    return kinds, sign(name.encode(), other_name.encode()), compare(value, other)


def sign(first: Any, second: Any) -> int:
    return int(first > second) - int(first < second)


IN_ORDER: list[Any] = [
    None,
    -(2.0**63) - 2048,
    -(2**63),
    -(2**63) + 1,
    -1e10,
    -1,
    -5e-324,
    0,
    5e-324,
    0.1,
    1,
    1.5,
    2**53,
    2**53 + 1,
    2.0**53 + 2,
    2**53 + 3,
    2**63 - 513,
    2**63 - 512,
    2**63 - 1,
    2.0**63,
    1e300,
    "",
    "\x00",
    "\x00\x00",
    "\x00a",
    "\x01",
    "\x02",
    "A",
    "a",
    "a\x00",
    "a\x01",
    "aa",
    "b",
    "é",
    "\uffff",
    "😀",
    {},
    {"b": None},
    {"a": 1},
    {"a": 1, "b": 1},
    {"a": 2},
    {"b": 1},
    {"a": "x"},
    {"a": {}},
    {"a": []},
    {"a": True},
    {"b": False},
    [],
    [None],
    [1],
    [1, 2],
    [2],
    ["a"],
    [{}],
    [[]],
    [True],
    False,
    True,
]


@pytest.mark.parametrize(("less", "greater"), list(itertools.pairwise(IN_ORDER)))
def test_every_value_sorts_before_the_next_of_the_list(less: Any, greater: Any) -> None:
    assert encode_key(less) < encode_key(greater)


@given(first=values(), second=values())
@example(first=2**63 - 1, second=2.0**63)
@example(first={"a": True}, second={"b": False})
def test_keys_stand_to_each_other_as_their_values_do(first: Any, second: Any) -> None:
    assert sign(encode_key(first), encode_key(second)) == compare(first, second)


@given(first=values(), second=values())
@example(first=[1], second=[1.0])
@example(first={"a": 1, "b": 2}, second={"b": 2, "a": 1})
def test_values_are_equal_where_their_keys_are(first: Any, second: Any) -> None:
    assert equal(first, second) == (encode_key(first) == encode_key(second))


EQUAL = [(1, 1.0), (0.0, -0.0), (2**63 - 1024, 2.0**63 - 1024), (None, MISSING), ([1, {"a": 0}], [1.0, {"a": -0.0}])]
UNEQUAL = [(1, True), (0, False), (None, False), (0, ""), (1, "1"), ({}, []), ([], None), ({"a": 1}, {"a": True})]
UNEQUAL += [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ([1, 2], [2, 1]), (2**53 + 1, 2.0**53), (2**63 - 1, 2.0**63)]


@pytest.mark.parametrize(("first", "second"), EQUAL)
def test_equal_values(first: Any, second: Any) -> None:
    assert equal(first, second)
    assert encode_key(first) == encode_key(second)


@pytest.mark.parametrize(("first", "second"), UNEQUAL)
def test_unequal_values(first: Any, second: Any) -> None:
    assert not equal(first, second)
    assert not equal(second, first)
    assert encode_key(first) != encode_key(second)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (MISSING, "null"),
        (1, "number"),
        (1.5, "number"),
        ("1", "string"),
        ({}, "object"),
        ([], "array"),
        (True, "bool"),
    ],
)
def test_every_value_is_of_one_type(value: Any, name: str) -> None:
    assert type_of(value) == name


# The table of the module, which is part of the file format.


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (None, "10"),
        (0, "20 8000000000000000 8000"),
        (-0.0, "20 8000000000000000 8000"),
        (1, "20 bff0000000000000 8000"),
        (-1.5, "20 4007ffffffffffff 8000"),
        (2**63 - 1, "20 c3e0000000000000 7fff"),
        (2**53 + 1, "20 c340000000000000 8001"),
        ("", "30 00"),
        ("aé", "30 61c3a9 00"),
        ("\x00\x01\x02", "30 0101 0102 02 00"),
        ({}, "40 00"),
        ({"a": "b", "": False}, "40 30 6100 306200 60 00 60 00"),
        ({"a": True}, "40 60 6100 61 00"),
        ([], "50 00"),
        ([None, [True]], "50 10 506100 00"),
        (False, "60"),
        (True, "61"),
    ],
)
def test_the_bytes_of_a_key(value: Any, key: str) -> None:
    assert encode_key(value) == bytes.fromhex(key)


def test_the_bytes_that_stand_for_arrays() -> None:
    assert EMPTY_ARRAY_KEY == b"\x08"
    assert whole_array_key([None]) == bytes.fromhex("70 50 10 00")


# Keys behind each other.


@given(first=values(), second=values())
@example(first="a", second="a\x00")
@example(first=[], second=[None])
def test_no_key_is_the_beginning_of_another(first: Any, second: Any) -> None:
    first, second = encode_key(first), encode_key(second)
    assert first == second or not second.startswith(first)


@given(first=values(), second=values(), tails=st.tuples(values(), values()))
@example(first="a", second="a\x00", tails=(True, None))
def test_keys_behind_each_other_sort_like_tuples(first: Any, second: Any, tails: tuple[Any, Any]) -> None:
    keys = [encode_key(head) + encode_key(tail) for head, tail in zip((first, second), tails, strict=True)]
    assert sign(*keys) == (compare(first, second) or compare(*tails))


@given(first=values(), second=values(), tails=st.tuples(values(), values()))
@example(first="a", second="a\x00", tails=(True, None))
def test_an_inverted_key_sorts_the_other_way_round(first: Any, second: Any, tails: tuple[Any, Any]) -> None:
    keys = [invert(encode_key(head)) + encode_key(tail) for head, tail in zip((first, second), tails, strict=True)]
    assert sign(*keys) == (-compare(first, second) or compare(*tails))


@given(value=values())
def test_inverted_twice_a_key_is_itself(value: Any) -> None:
    assert invert(invert(encode_key(value))) == encode_key(value)


@given(value=values())
@example(value="\x00\x01\x02\x01\x01\x00")
def test_numbers_and_texts_come_back_from_their_keys(value: Any) -> None:
    expected = value if type_of(value) in ("number", "string") else None
    assert decode_scalar(encode_key(value)) == expected
