"""What each operator of a filter fits: MongoDB's rules, one case each."""

import datetime
import decimal
import enum
import re
import types
import uuid

import pytest
from pydantic import BaseModel

from poof.query.filters.match import matches
from poof.query.filters.parse import parse_element_filter, parse_filter
from poof.query.nodes import EVERYTHING, NOTHING, Compare, Equal, Field

MISSING = object()
"""Stands for a document without the field."""
NEW_YEAR = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


class Color(enum.Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    y: int


def fits(filter_, document, obj_id=None) -> bool:
    return matches(parse_filter(filter_), document, obj_id)


# What is said of the field "a": the values of "a" that fit, and some that do not.
CONDITIONS = [
    # equality
    (1, [1, 1.0, [1], [2, 1.0], [[], 1]], [True, [True], "1", 2, None, MISSING, [], [[1]], {"a": 1}]),
    (0, [0, -0.0], [False, None, "", [], {}]),
    (1.5, [1.5, [1.5]], [1, 2, "1.5"]),
    (2**53 + 1, [2**53 + 1], [2**53, float(2**53)]),
    (True, [True, [True]], [1, 1.0, [1], "true", False, None]),
    (False, [False, [0, False]], [0, -0.0, None, MISSING, ""]),
    ("x", ["x", ["y", "x"]], ["X", "xx", "", None, [["x"]], {"x": "x"}]),
    ("", ["", [""]], [None, MISSING, 0, [], False]),
    (None, [None, MISSING, [None], [1, None]], [0, False, "", [], {}, [[]], [[None]], {"a": None}]),
    ([1, 2], [[1, 2], [1.0, 2], [[1, 2]], [0, [1, 2]]], [[2, 1], [1], [1, 2, 3], 1, [[[1, 2]]], [True, 2], MISSING]),
    ([], [[], [[]], [1, []]], [None, MISSING, [None], {}, [[[]]], [1]]),
    ({}, [{}, [{}]], [None, MISSING, [], {"b": 1}, [[{}]]]),
    ({"b": 1, "c": 2}, [{"b": 1, "c": 2}, [{"b": 1, "c": 2.0}]], [{"c": 2, "b": 1}, {"b": 1}, {"b": 1, "c": 2, "": 0}]),
    ({"b": {"$gt": 1}}, [{"b": {"$gt": 1}}], [{"b": 2}]),
    ({"b": None}, [{"b": None}], [{}, None, MISSING]),
    ({"$eq": 1}, [1, 1.0, [1]], [True, 2, MISSING]),
    ({"$eq": {"$gt": 1}}, [{"$gt": 1}], [2, MISSING]),
    ({"$ne": 1}, [2, True, "1", None, MISSING, [], [[1]], {}], [1, 1.0, [1], [1, 2], [2, 1]]),
    ({"$ne": None}, [0, "", [], {}, [1]], [None, MISSING, [None], [1, None]]),
    ({"$ne": [1]}, [[2], 1, [1, 1], MISSING], [[1], [[1]], [1.0]]),
    # comparison
    ({"$lt": 5}, [4, 4.9, -1e300, [4], [9, 4], 0], [5, 5.0, None, MISSING, "4", "", True, False, [], {}, [[4]]]),
    ({"$lte": 5}, [5, 5.0, 4, [5]], [6, "5", None, MISSING, True]),
    ({"$gt": 5}, [6, 5.1, [1, 6]], [5, 5.0, "6", True, None, MISSING, [], {"b": 6}, [[6]]]),
    ({"$gte": 5}, [5, 5.0, 6, [5]], [4, "5", None, MISSING, True]),
    ({"$gt": 0.5}, [1, 0.6], [0, True, 0.5]),
    ({"$gt": 2**53}, [2**53 + 1], [2**53, float(2**53)]),
    ({"$lt": float(2**53)}, [2**53 - 1], [2**53, 2**53 + 1]),
    ({"$gt": "b"}, ["c", "ba", "\u00e9", ["c"]], ["b", "a", "B", "", 3, None, MISSING, [["c"]]]),
    ({"$lt": "b"}, ["a", "", "B", "aa"], ["b", "c", None, MISSING, 1]),
    ({"$gt": "\uffff"}, ["\U00010000"], ["\ufffe", "a"]),
    ({"$gt": False}, [True, [True]], [False, 1, "a", None, MISSING]),
    ({"$lte": True}, [True, False], [0, 1, None, MISSING, "a"]),
    ({"$gte": None}, [None, MISSING, [None], [1, None]], [0, 1, "", False, [], {}]),
    ({"$lte": None}, [None, MISSING, [None]], [0, -1, "", False, [], {}]),
    ({"$gt": None}, [], [None, MISSING, 0, 1, "a", [], [None], {}, True]),
    ({"$lt": None}, [], [None, MISSING, 0, -1, "a", [], [None], {}, False]),
    ({"$gt": [1, 2]}, [[1, 3], [2], [1, 2, 0], [1, "a"], [[2]]], [[1, 2], [1], [0, 9], [], 3, "a", {"a": 3}, MISSING]),
    ({"$lte": [1, 2]}, [[1, 2], [1.0, 2.0], [1], [], [None], [5, [1]]], [[1, 3], 1, None, MISSING]),
    ({"$gt": {"b": 1}}, [{"b": 2}, {"b": 1, "c": 0}, [{"b": 2}]], [{"b": 1}, {"b": 0}, {}, 2, [2], "b", MISSING]),
    ({"$gt": 4, "$lt": 6}, [5, [3, 7], [5]], [3, 7, [3, 4], [7]]),
    ({"$gt": 4, "$ne": 5}, [6, [6, 7]], [5, 4, [5, 6]]),
    # one of several
    ({"$in": [1, "x"]}, [1, 1.0, "x", [2, 1], ["x"]], [True, 2, "y", None, MISSING, [], [[1]]]),
    ({"$in": []}, [], [1, None, MISSING, []]),
    ({"$in": [None]}, [None, MISSING, [None]], [0, False, "", [], {}]),
    ({"$in": [True]}, [True, [True]], [1, 1.0, "True"]),
    ({"$in": [0, 1]}, [0, 1.0], [True, False]),
    ({"$in": [[1, 2], {"b": 1}]}, [[1, 2], [[1, 2]], {"b": 1}, [{"b": 1.0}]], [1, [2, 1], {"b": 1, "c": 2}, MISSING]),
    ({"$in": [re.compile("^x"), 1]}, ["xy", 1, ["a", "xb"]], ["yx", "1", None, MISSING, {"x": "x"}]),
    ({"$in": (1, 2)}, [1, 2], [3]),
    ({"$in": {1, 2}}, [1, 2], [3]),
    ({"$in": frozenset("ab")}, ["a", "b"], ["ab"]),
    ({"$nin": [1, "x"]}, [2, True, None, MISSING, [], [2, "y"], [[1]]], [1, 1.0, "x", [2, 1]]),
    ({"$nin": []}, [1, None, MISSING, []], []),
    ({"$nin": [None]}, [1, "", [], {}], [None, MISSING, [None]]),
    ({"$nin": [re.compile("x")]}, ["y", 1, MISSING, ["y"]], ["axb", ["y", "x"]]),
    # presence and type
    ({"$exists": True}, [None, 0, "", [], {}, False], [MISSING]),
    ({"$exists": False}, [MISSING], [None, 0, "", [], {}, False]),
    ({"$exists": 1}, [None], [MISSING]),
    ({"$exists": 0.0}, [MISSING], [None]),
    ({"$type": "string"}, ["x", "", ["x", 1]], [1, None, MISSING, [], [["x"]], {"x": "x"}]),
    ({"$type": "number"}, [1, 1.5, [1], ["x", 1]], [True, [True], "1", None, MISSING, []]),
    ({"$type": "int"}, [1, 2**31 - 1, -(2**31), [1]], [1.0, True, "1", 2**31, -(2**31) - 1, 1e300]),
    ({"$type": "long"}, [2**31, -(2**31) - 1, 2**62, -(2**63), [2**40]], [1, 2**31 - 1, 2.0**40, True]),
    ({"$type": "double"}, [1.0, -0.5, 1e300, 2.0**40, [1.5]], [1, 2**40, True]),
    ({"$type": ["int", "long"]}, [0, 2**31, -(2**63), [2**40]], [1.0, True, "1", None]),
    ({"$type": ["long", "number"]}, [0, 2**31, 1.5], [True, "1", None]),
    ({"$type": ["int", "double", "string"]}, [0, 1.5, "1"], [2**31, True, None]),
    ({"$type": "bool"}, [True, False, [False]], [0, 1, None, MISSING]),
    ({"$type": "null"}, [None, [None]], [MISSING, 0, "", []]),
    ({"$type": "object"}, [{}, {"b": 1}, [{}]], [[], None, MISSING, [[{}]]]),
    ({"$type": "array"}, [[], [1], [[]]], [{}, 1, None, MISSING]),
    ({"$type": ["string", "null"]}, ["x", None, [None]], [1, MISSING, {}]),
    ({"$type": [2, "bool"]}, ["x", True], [1, MISSING]),
    *[
        ({"$type": code}, fitting, others)
        for code, fitting, others in [
            (1, [1.0], [1]),
            (2.0, ["x"], [1]),
            (3, [{}], [[]]),
            (4, [[]], [{}]),
            (8, [True], [1]),
            (10, [None], [MISSING]),
            (16, [1], [1.0, 2**31]),
            (18, [2**31], [1, 1.0]),
        ]
    ],
    # negation
    ({"$not": {"$gt": 5}}, [5, 4, "x", None, MISSING, [], [1, 5], True], [6, [6], [1, 6]]),
    ({"$not": {"$gt": 4, "$lt": 6}}, [4, 6, [1, 2], MISSING], [5, [3, 7]]),
    ({"$not": {"$not": {"$gt": 5}}}, [6, [1, 6]], [5, MISSING, []]),
    ({"$not": re.compile("^x")}, ["y", 1, MISSING, [], ["y"]], ["xy", ["y", "x"]]),
    ({"$not": {"$regex": "^X", "$options": "i"}}, ["y", 1, MISSING], ["xy", "X"]),
    ({"$not": {"$gt": None}}, [1, None, MISSING], []),
    ({"$not": {"$exists": True}}, [MISSING], [None, 1]),
    ({"$not": {"$eq": None}}, [1, []], [None, MISSING]),
    ({"$not": {"$elemMatch": {"$gt": 5}}}, [6, [1], MISSING], [[6]]),
    # arrays
    ({"$all": []}, [], [[], 1, None, MISSING, [[]]]),
    ({"$all": [1]}, [1, 1.0, [1], [2, 1]], [True, 2, [], MISSING, [[1]]]),
    ({"$all": [1, 2]}, [[2, 1], [1, 2, 3]], [1, [1], [[1, 2]], MISSING]),
    ({"$all": [1, 1]}, [1, [1]], [2]),
    ({"$all": [[]]}, [[], [[]], [1, []]], [None, MISSING, [1], {}]),
    ({"$all": [[1, 2]]}, [[1, 2], [[1, 2]], [[1, 2], 3]], [[2, 1], [1], [1, 2, 3]]),
    ({"$all": [None]}, [None, MISSING, [None]], [1, []]),
    ({"$all": [re.compile("^a"), "bc"]}, [["ab", "bc"], ["bc", "a"]], ["ab", "bc", ["ab"], MISSING]),
    ({"$all": [re.compile("a"), re.compile("b")]}, ["ab", ["a", "b"]], ["a", MISSING]),
    ({"$all": [{"b": 1}]}, [{"b": 1}, [{"b": 1}, 2]], [[{"b": 1, "c": 1}], 1]),
    (
        {"$all": [{"$elemMatch": {"b": 1, "c": 1}}, {"$elemMatch": {"b": 2}}]},
        [[{"b": 1, "c": 1}, {"b": 2}]],
        [[{"b": 1, "c": 2}, {"b": 2, "c": 1}], [{"b": 1, "c": 1}], {"b": 1, "c": 1}, MISSING],
    ),
    ({"$size": 0}, [[]], [None, MISSING, {}, "", 0, [[]], [None]]),
    ({"$size": 2}, [[1, 2], [[], []], [None, None]], [2, "ab", [1], [1, 2, 3], [[1, 2]], {"a": 1, "b": 2}, MISSING]),
    ({"$size": 2.0}, [[1, 2]], [[1]]),
    ({"$elemMatch": {"$gt": 4, "$lt": 6}}, [[5], [3, 5], [9, 4.5]], [5, [3, 7], [], [[5]], MISSING, None, {"0": 5}]),
    ({"$elemMatch": {"$eq": 5}}, [[5], [1, 5.0]], [5, [[5]], MISSING]),
    ({"$elemMatch": {"$ne": 5}}, [[6], [5, 6], [None], [[5]]], [[5], [], 6, MISSING]),
    ({"$elemMatch": {"$eq": None}}, [[None], [1, None]], [None, MISSING, [], [1], [[]]]),
    ({"$elemMatch": {"$not": {"$gt": 5}}}, [[5], [6, 1], ["x"]], [[6], [], 5, MISSING]),
    ({"$elemMatch": {"$in": [1, None]}}, [[1], [None]], [1, [], [[1]]]),
    ({"$elemMatch": {"$type": "array"}}, [[[]], [1, [2]]], [[], [1]]),
    ({"$elemMatch": {"$size": 1}}, [[[5]], [1, [2]]], [[], [1], [[]], [[1, 2]]]),
    ({"$elemMatch": {"$exists": True}}, [[1], [None]], [[], 1, MISSING]),
    ({"$elemMatch": {"$regex": "^x"}}, [["xy"], ["a", "x"]], ["xy", ["ax"], [["x"]]]),
    ({"$elemMatch": {"$elemMatch": {"$gt": 4}}}, [[[5]], [1, [2, 5]]], [[5], [[]], [[[5]]], 5]),
    ({"$elemMatch": {"$all": [1]}}, [[1]], [[[1]], 1]),
    ({"$elemMatch": {}}, [[{}], [1, {"b": 1}], [[]], [1, [2]]], [[], [1], {}, MISSING]),
    ({"$elemMatch": {"0": {"$gt": 5}}}, [[[6]], [1, [7, 2]], [[[6]]], [{"0": 6}]], [[6], [[2, 6]], [[]], [[[[6]]]]]),
    ({"$elemMatch": {"1.0": 6}}, [[[1, [6]]], [[1, {"0": 6}]]], [[1, 6], [[6]], [[1, 6]]]),
    ({"$elemMatch": {"0.b": 1}}, [[[{"b": 1}]]], [[{"b": 1}], [[1, {"b": 1}]]]),
    ({"$elemMatch": {"b": 1}}, [[{"b": 1}]], [[[{"b": 1}]], [[1]]]),
    ({"$elemMatch": {"b": {"$ne": 1}}}, [[[9]], [[{"b": 1}]], [{"b": 2}]], [[{"b": 1}], [9], []]),
    ({"$elemMatch": {"0": {"$elemMatch": {"0": 6}}}}, [[[[[6]]]]], [[[[6]]], [[6]]]),
    ({"$elemMatch": {"$or": [{"1": 6}, {"b": 6}]}}, [[[1, 6]], [{"b": 6}]], [[6], [[6]]]),
    ({"$elemMatch": {"b": 1, "c": 4}}, [[{"b": 1, "c": 4}]], [[{"b": 1}, {"c": 4}], {"b": 1, "c": 4}]),
    ({"$elemMatch": {"b": None}}, [[{}], [{"b": None}], [{"b": 1}, {}], [[]]], [[], [1], [None], [{"b": 1}], {}]),
    ({"$elemMatch": {"b": {"$exists": False}}}, [[{}], [{"b": 1}, {"c": 1}], [[]]], [[1], [{"b": 1}], {}, MISSING]),
    ({"$elemMatch": {"b.c": {"$gt": 1}}}, [[{"b": {"c": 2}}], [{"b": [{"c": 2}]}]], [[{"b": {"c": 1}}], [{"c": 2}]]),
    ({"$elemMatch": {"b": {"$elemMatch": {"$gt": 1}}}}, [[{"b": [0, 2]}]], [[{"b": 2}], [{"b": [1]}], {"b": [2]}]),
    ({"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}, [[{"b": 1}], [{"c": 1}]], [[1], [{"d": 1}], []]),
    ({"$elemMatch": {"$nor": [{"b": 1}]}}, [[{"b": 2}], [{}], [{"b": 1}, {}]], [[{"b": 1}], [2], []]),
    ({"$elemMatch": {"b": 1, "$and": [{"c": 1}]}}, [[{"b": 1, "c": 1}]], [[{"b": 1}, {"c": 1}]]),
    # numbers and text
    ({"$mod": [4, 0]}, [0, 4, 8.0, 4.9, -4, [1, 4], 0.5, -0.5], [1, "4", None, MISSING, True, False, [], [[4]]]),
    ({"$mod": [4, 1]}, [1, 5, 5.9], [-5, -1, -3]),
    ({"$mod": [4, -1]}, [-5, -1, -5.9], [5, 3, 1]),
    ({"$mod": [-4, -1]}, [-5], [5]),
    ({"$mod": [-4, 1]}, [5], [-5]),
    ({"$mod": [4.9, 1.9]}, [5], [2]),
    ({"$mod": [4, 5]}, [], [5, 1]),
    ({"$mod": [2, 1]}, [2**63 - 1, 2**53 + 1], [1e300, float(2**63)]),
    ({"$regex": "b"}, ["abc", "b", ["x", "b"]], ["B", "", 1, None, MISSING, [["b"]], {"b": "b"}]),
    ({"$regex": "^b$"}, ["b"], ["ab", "a\nb"]),
    ({"$regex": "^b$", "$options": "m"}, ["a\nb\nc"], ["ab"]),
    ({"$options": "i", "$regex": "^B"}, ["bx", "BX"], ["xb"]),
    ({"$regex": "a.b", "$options": "s"}, ["a\nb"], ["ab"]),
    ({"$regex": "a b # c", "$options": "x"}, ["ab"], ["a b"]),
    ({"$regex": "^a.B$", "$options": "imsx"}, ["x\nA\nb"], ["ab"]),
    ({"$regex": "B", "$options": ""}, ["B"], ["b"]),
    ({"$regex": ""}, ["", "x"], [1, MISSING]),
    ({"$regex": re.compile("^b", re.I)}, ["B"], ["ab"]),
    ({"$regex": re.compile("^b"), "$options": "i"}, ["B", "b"], ["ab"]),
    ({"$regex": "^\u00e9", "$options": "i"}, ["\u00c9t\u00e9"], ["e"]),
    ({"$regex": "b", "$ne": "ab"}, ["b"], ["ab", "a"]),
    ({"$regex": "b", "$in": ["ab", "a"]}, ["ab"], ["a", "b"]),
    (re.compile("^b", re.I), ["Bx", ["a", "b"]], ["ab", 1, MISSING]),
    # values of Python, as documents store them
    (uuid.UUID(int=7), ["00000000-0000-0000-0000-000000000007"], [7]),
    (decimal.Decimal("1.10"), ["1.10", "1.1", 1.1, ["1.100"]], ["1.11", 1.2, "1.1x", "x", True, MISSING]),
    ({"$lt": decimal.Decimal("1e2")}, ["9", 99, "-Infinity", "+.5"], ["100", 100.5, "x", "", None, True]),
    ({"$in": [decimal.Decimal(10), "x"]}, ["10.0", 10, "x"], ["1", "y", None]),
    (Color.RED, ["red"], ["RED"]),
    ({"$in": [Color.RED]}, ["red"], ["RED"]),
    (datetime.date(2024, 5, 6), ["2024-05-06"], []),
    ({"$gte": NEW_YEAR}, ["2024-01-01T00:00:00.000000Z"], ["2023-12-31T23:59:59.999999Z"]),
    (Point(x=1, y=2), [{"x": 1, "y": 2}], [{"y": 2, "x": 1}]),
    ((1, 2), [[1, 2]], [[2, 1]]),
    (types.MappingProxyType({"$gt": 1}), [2], [1]),
]  # fmt: skip


def document(value) -> dict:
    return {} if value is MISSING else {"a": value}


@pytest.mark.parametrize(
    ("condition", "value"), [(condition, value) for condition, fitting, _ in CONDITIONS for value in fitting]
)
def test_a_condition_fits(condition, value):
    assert fits({"a": condition}, document(value))


@pytest.mark.parametrize(
    ("condition", "value"), [(condition, value) for condition, _, others in CONDITIONS for value in others]
)
def test_a_condition_does_not_fit(condition, value):
    assert not fits({"a": condition}, document(value))


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (condition, value, expected)
        for condition, fitting, others in CONDITIONS
        for values, expected in ((fitting, True), (others, False))
        for value in values
    ],
)
def test_a_condition_says_the_same_of_a_field_inside_a_document(condition, value, expected):
    assert fits({"b.a": condition}, {"b": document(value)}) is expected
    assert fits({"b.a": condition}, {"b": [1, document(value)]}) is expected


@pytest.mark.parametrize(
    "filter_", [None, {}, {"$and": [{}]}, {"$or": [{"a": 1}, {}]}, types.MappingProxyType({})], ids=repr
)
def test_an_empty_filter_fits_everything(filter_):
    assert fits(filter_, {})
    assert fits(filter_, {"a": 2})


@pytest.mark.parametrize(
    ("filter_", "node"),
    [
        (None, EVERYTHING),
        ({}, EVERYTHING),
        ({"a": {"$gt": None}}, NOTHING),
        ({"a": {"$lt": None}}, NOTHING),
        ({"a": {"$all": []}}, NOTHING),
        ({"a": {"$gte": None}}, Field(("a",), Equal(None))),
        ({"$and": [{"$or": [{"a.b": {"$lte": 1}}]}]}, Field(("a", "b"), Compare("<=", 1))),
        ({"_id": 1}, Field(("_id",), Equal(1))),
    ],
)
def test_a_filter_is_a_simple_tree(filter_, node):
    assert parse_filter(filter_) == node


def test_a_filter_is_neither_kept_nor_changed():
    inner = {"c": [1]}
    filter_ = {"a": inner, "b": {"$in": [inner]}}
    node = parse_filter(filter_)
    inner["c"].append(2)
    assert filter_ == {"a": {"c": [1, 2]}, "b": {"$in": [{"c": [1, 2]}]}}
    assert matches(node, {"a": {"c": [1]}, "b": {"c": [1]}})


@pytest.mark.parametrize(
    ("condition", "fitting", "others"),
    [
        ({"$gt": 1}, [2], [1, "a", [2], {"b": 2}]),
        ({"b": 1}, [{"b": 1}, {"b": [1], "c": 2}], [1, [{"b": 1}], {}]),
        ({}, [{}, {"b": 1}, []], [1, "", None]),
    ],
)
def test_an_element_filter_is_about_the_element_itself(condition, fitting, others):
    node = parse_element_filter(condition, "tags")
    assert [matches(node, element) for element in fitting + others] == [True] * len(fitting) + [False] * len(others)
