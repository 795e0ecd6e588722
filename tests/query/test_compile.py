"""Filters and sorts as SQL: where SQL decides, where it leaves the verdict to Python, and that it is never wrong."""

import math
import random
import re
from collections.abc import Iterator
from typing import Any

import apsw
import orjson
import pytest

from poof.query.fields import FieldOrder, parse_fields
from poof.query.filters.compile import MAX_NESTING, MAX_PARAMETERS, compile_filter, compile_sort, sort_functions
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.key_rows import Rows
from poof.query.nodes import EVERYTHING, NOTHING, And, Equal, Field, Node, Not, Or
from tests.support.query_strategies import ODD_NAMES, REALS

OBJECT_ID = "AbCdEfGhIjKl"


@pytest.fixture
def table() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, obj_id TEXT NOT NULL, doc TEXT NOT NULL)")
    yield connection
    connection.close()


def insert(table: apsw.Connection, document: dict[str, Any], obj_id: str = OBJECT_ID) -> None:
    table.execute("INSERT INTO t (obj_id, doc) VALUES (?, ?)", (obj_id, orjson.dumps(document).decode()))


def judge(table: apsw.Connection, document: dict[str, Any], node: Node) -> Any:
    """What SQL says of one document."""
    insert(table, document)
    where = compile_filter(node)
    return table.execute(f"SELECT {where.sql} FROM t", where.parameters).get


# What SQL decides alone.

DECIDED: list[tuple[Any, list[Any], list[Any]]] = [
    ("x", ["x"], ["X", "", "xx", 1, True, None, {}, {"x": "x"}]),
    ('["x"]', ['["x"]'], ['["X"]', {}]),
    ("", [""], ["\x00", None]),
    ("a\x00b", ["a\x00b"], ["a", "a\x00"]),
    ("😀é", ["😀é"], ["😀"]),
    (1, [1, 1.0], [2, 1.5, True, "1", None, {}]),
    (0, [0, 0.0], [False, None, ""]),
    (1.5, [1.5], [1, 2, "1.5"]),
    (2**53 + 1, [2**53 + 1], [2**53, 2**53 + 2]),
    (2.0**53, [2**53, 2.0**53], [2**53 + 1]),
    (2**63 - 1, [2**63 - 1], [2**63 - 2]),
    (2.0**63, [2.0**63], [2**63 - 1]),
    (True, [True], [1, 1.0, False, "true", None]),
    (False, [False], [0, True, None, ""]),
    (None, [None], [0, False, "", {}, "null"]),
    ([1], [], [1, None, "[1]", {}]),
    ({"b": 1}, [], [1, None, '{"b":1}']),
    ({"$lt": 5}, [4, 4.5, -1e300], [5, 5.0, 6, "4", None, False, {}]),
    ({"$lte": 5}, [5, 5.0, 4], [6, 5.5, "5", None]),
    ({"$gt": 5}, [6, 5.5, 1e300], [5, 5.0, 4, "6", None, True, {}]),
    ({"$gte": 5}, [5, 5.0, 6], [4, 4.5, "5", None]),
    ({"$gt": 2**53}, [2**53 + 1], [2**53, 2.0**53]),
    ({"$gt": "b"}, ["c", "bb", "é", "😀"], ["b", "a", "B", "", 5, None, True]),
    ({"$lte": "b"}, ["b", "a", "", "B"], ["bb", 1, None]),
    ({"$lt": "\uffff"}, ["\ufffe", "a"], ["😀", "\uffff"]),
    ({"$gt": False}, [True], [False, 1, "true"]),
    ({"$gte": False}, [True, False], [1, None]),
    ({"$lt": True}, [False], [True, 0]),
    ({"$gt": True}, [], [True, False, 2]),
    ({"$gte": None}, [None], [0, ""]),
    ({"$gt": None}, [], [None, 0, ""]),
    ({"$gt": {"b": 1}}, [], [5, "x", None, True]),
    ({"$gt": [1]}, [], [5, "x", None, {}]),
    ({"$in": ["x", 1, 2.5, None, True]}, ["x", 1, 1.0, 2.5, None, True], ["y", 2, 10.5, False, {}]),
    ({"$in": [2**53 + 1, 1e300]}, [2**53 + 1, 1e300], [2**53, 2**53 + 2]),
    ({"$in": ["a\x00", '"', "[1]"]}, ["a\x00", '"', "[1]"], ["a", "\x00"]),
    ({"$in": [re.compile("^a"), "x", 1]}, ["x", 1], [2, None, True]),
    ({"$in": []}, [], [None, 1, "x", {}]),
    ({"$nin": ["x", 1]}, ["y", 2, None, True], ["x", 1, 1.0]),
    ({"$ne": 1}, [2, "1", None, True, {}], [1, 1.0]),
    ({"$exists": True}, [None, 0, "", {}, [], [None]], []),
    ({"$exists": False}, [], [None, 0, "", {}, [], [None]]),
    ({"$type": "number"}, [1, 1.5], [True, "1", None, {}]),
    ({"$type": "int"}, [1], [1.0, True]),
    ({"$type": "double"}, [1.0, 1e300], [1, True]),
    ({"$type": "bool"}, [True, False], [1, "true"]),
    ({"$type": "null"}, [None], [0, "null"]),
    ({"$type": "string"}, ["", "[]"], [1, {}]),
    ({"$type": "object"}, [{}, {"b": 1}], ["{}", None]),
    ({"$type": "array"}, [[], [1]], ["[]", {}]),
    ({"$size": 2}, [[1, 2], [[], []]], [[], [1], [1, 2, 3], 2, "xx", {"b": 1, "c": 2}, None]),
    ({"$size": 0}, [[]], [[[]], {}, "", None]),
    ({"$mod": [4, 1]}, [5, 1, 2**63 - 3], [4, -5, "5", True, None]),
    ({"$mod": [4, -1]}, [-5, -1], [5, 3]),
    ({"$mod": [-4, 1]}, [5], [-5]),
    ({"$mod": [-1, 0]}, [-(2**63), 7], ["x"]),
    ({"$regex": "x"}, [], [1, None, True, {}]),
    ({"$elemMatch": {"$gt": 1}}, [], [2, None, {"b": 2}]),
    ({"$all": ["x"]}, ["x"], ["y", 1]),
    ({"$not": {"$gt": 5}}, [5, "x", None], [6]),
    ({"$gt": 4, "$lt": 6}, [5, 4.5], [4, 6, "5"]),
]
CASES = [(condition, value, 1) for condition, found, _ in DECIDED for value in found]
CASES += [(condition, value, 0) for condition, _, others in DECIDED for value in others]


@pytest.mark.parametrize(("condition", "value", "verdict"), CASES)
def test_sql_decides(table: apsw.Connection, condition: Any, value: Any, verdict: int) -> None:
    assert judge(table, {"a": value}, parse_filter({"a": condition})) == verdict


@pytest.mark.parametrize(("condition", "value", "verdict"), CASES)
def test_sql_decides_on_nested_fields(table: apsw.Connection, condition: Any, value: Any, verdict: int) -> None:
    assert judge(table, {"0": {"b c": {"é": value}}}, parse_filter({"0.b c.é": condition})) == verdict


ACCEPT_MISSING = [None, {"$gte": None}, {"$in": [1, None]}, {"$exists": False}, {"$ne": 1}, {"$nin": [1]}]
ACCEPT_MISSING += [{"$not": {"$gt": 1}}, {"$not": re.compile("x")}]
REFUSE_MISSING = [1, "", False, {}, [], {"$lt": 5}, {"$lt": "x"}, {"$in": [0, ""]}, {"$exists": True}, {"$ne": None}]
REFUSE_MISSING += [{"$type": "null"}, {"$type": "object"}, {"$size": 0}, {"$mod": [1, 0]}, {"$regex": ""}]
REFUSE_MISSING += [{"$elemMatch": {"$exists": True}}, {"$in": [re.compile("")]}]
MISSING_CASES = [(condition, 1) for condition in ACCEPT_MISSING] + [(condition, 0) for condition in REFUSE_MISSING]


@pytest.mark.parametrize(("condition", "verdict"), MISSING_CASES)
@pytest.mark.parametrize("document", [{}, {"a": 4}, {"a": None}, {"a": {}}, {"a": "b"}, {"a": {"c": []}}, {"a.b": 1}])
def test_sql_decides_on_missing_fields(
    table: apsw.Connection, condition: Any, verdict: int, document: dict[str, Any]
) -> None:
    assert judge(table, document, parse_filter({"a.b": condition})) == verdict


@pytest.mark.parametrize(("node", "verdict"), [(EVERYTHING, 1), (NOTHING, 0)])
def test_everything_and_nothing_are_decided(table: apsw.Connection, node: Node, verdict: int) -> None:
    assert judge(table, {}, node) == verdict


# What SQL leaves to the matcher.

UNDECIDED: list[tuple[Any, Any]] = [
    (1, [1]),
    (None, []),
    ("x", ["x"]),
    ([1], [1]),
    ({"b": 1}, {"b": 1}),
    ({"$gt": {}}, {"b": 1}),
    ({"$in": [{}]}, {}),
    ({"$in": [re.compile("a")]}, "a"),
    ({"$gt": 1}, [2]),
    ({"$type": "string"}, ["x"]),
    ({"$mod": [2, 0]}, 2.0),
    ({"$regex": "a"}, "b"),
    ({"$elemMatch": {"$gt": 1}}, [2]),
]


@pytest.mark.parametrize(("condition", "value"), UNDECIDED)
def test_sql_leaves_to_python_what_it_cannot_tell(table: apsw.Connection, condition: Any, value: Any) -> None:
    assert judge(table, {"a": value}, parse_filter({"a": condition})) is None


@pytest.mark.parametrize("document", [{"a": [{"b": {"c": 1}}]}, {"a": {"b": [{"c": 1}]}}, {"a": []}, {"a": [1]}])
@pytest.mark.parametrize("condition", [1, None, {"$exists": True}, {"$type": "int"}, {"$size": 0}, {"$ne": 1}])
def test_an_array_on_the_way_is_left_to_python(
    table: apsw.Connection, document: dict[str, Any], condition: Any
) -> None:
    assert judge(table, document, parse_filter({"a.b.c": condition})) is None


@pytest.mark.parametrize("document", [{"a": [5, 6]}, {"a": [{"1": 5}]}])
def test_an_index_of_an_array_is_left_to_python(table: apsw.Connection, document: dict[str, Any]) -> None:
    assert judge(table, document, parse_filter({"a.1": 5})) is None


@pytest.mark.parametrize(("other", "verdict"), [({"b": 1}, None), ({"b": 2}, 0)])
def test_a_false_part_decides_what_another_leaves_open(table: apsw.Connection, other: Any, verdict: int | None) -> None:
    assert judge(table, {"a": [1], "b": 1}, parse_filter({"a": 1, **other})) == verdict


@pytest.mark.parametrize(("other", "verdict"), [({"b": 1}, 1), ({"b": 2}, None)])
def test_a_true_alternative_decides_what_another_leaves_open(
    table: apsw.Connection, other: Any, verdict: int | None
) -> None:
    assert judge(table, {"a": [1], "b": 1}, parse_filter({"$or": [{"a": 1}, other]})) == verdict


# Texts are looked for in the JSON first.


@pytest.mark.parametrize(
    "text", ["x", "*", "a*b", "?", "[", "]", "[a]", "[^a]", "-", "\\", '"', '\\"', "\n", "\x00", "\x1f", "\x7f"]
)
@pytest.mark.parametrize("around", ["{}", "a{}", "{}a", "é{}", "{}\u2028", "\U0001f600{}", "{}" * 200])
def test_a_text_is_found_in_the_json_however_it_is_written_there(
    table: apsw.Connection, text: str, around: str
) -> None:
    value = around.format(*[text] * 200)
    for index, document in enumerate(({"a": value}, {"a": [value]}, {"a": {"b": value}}, {"a": f"{value}."})):
        insert(table, document, f"{OBJECT_ID}{index}")
    where = [
        compile_filter(parse_filter(filter_))
        for filter_ in ({"a": value}, {"a": {"$in": [value, "y"]}}, {"a.b": value})
    ]
    verdicts = [[verdict for (verdict,) in table.execute(f"SELECT {one.sql} FROM t", one.parameters)] for one in where]
    assert verdicts == [[1, None, 0, 0], [1, None, 0, 0], [0, None, 1, 0]]


@pytest.mark.parametrize(
    ("filter_", "verdict"),
    [
        ({"a": "x"}, 0),
        ({"a": {"$in": ["x", "y"]}}, 0),
        ({"a": {"$elemMatch": {"b": "x"}}}, 0),
        ({"a": {"$elemMatch": {"b": "x", "c": 1}}}, 0),
        ({"a": {"$elemMatch": {"$eq": "x"}}}, 0),
        ({"a": {"$ne": "x"}}, 1),
        ({"a": {"$in": ["x", 1]}}, None),
        ({"a": {"$in": ["x", ""]}}, None),
        ({"a": {"$in": [str(number) for number in range(9)]}}, None),
        ({"a": {"$elemMatch": {"b": 1}}}, None),
        ({"a": ""}, None),
        ({"a": 1}, None),
    ],
)
def test_a_document_without_the_text_is_ruled_out_whatever_is_in_its_arrays(
    table: apsw.Connection, filter_: Any, verdict: int | None
) -> None:
    assert judge(table, {"a": ["other", {"b": "others"}]}, parse_filter(filter_)) == verdict


# Numbers near each other, which SQLite does not always tell apart.


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in"])
@pytest.mark.parametrize("number", REALS)
def test_a_number_near_another_is_never_taken_for_it(table: apsw.Connection, operator: str, number: float) -> None:
    node = parse_filter({"a": {operator: [number] if operator == "$in" else number}})
    where = compile_filter(node)
    for value in (math.nextafter(number, -math.inf), number, math.nextafter(number, math.inf)):
        if math.isfinite(value):
            insert(table, {"a": value})
    rows: Any = table.execute(f"SELECT doc, {where.sql} FROM t", where.parameters).fetchall()
    for text, verdict in rows:
        assert verdict in (None, matches(node, orjson.loads(text)))


@pytest.mark.parametrize("number", [number for number in REALS if number != 0])
def test_a_number_is_told_by_its_own_text(table: apsw.Connection, number: float) -> None:
    assert judge(table, {"a": number}, parse_filter({"a": number})) == 1


# Names and values of users.


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_is_decided_or_left_to_python(table: apsw.Connection, name: str) -> None:
    plain = not set(name) & set('"\\\n\x00') and name != "_objId"
    node = Field((name, "b"), Equal(1))
    assert judge(table, {name: {"b": 1}, "b": 2}, node) == (1 if plain else 0 if name == "_objId" else None)


def test_no_name_and_no_value_is_part_of_the_sql() -> None:
    wanted = {
        "secretName.other": "secretValue",
        "'; DROP TABLE t --": {"$in": ["secretValue", 12345, 12345.5]},
        "secretNumber": {"$gt": 12345, "$lt": 12345.5, "$mod": [12345, 12345], "$size": 12345},
        "_objId": {"$gt": "secretValue", "$in": ["secretValue"]},
    }
    for where in (
        compile_filter(parse_filter(wanted)),
        *compile_sort(parse_fields(["secretName.other", "secretName.secret", '"secret'], what="sort")),
    ):
        assert not re.search("secret|12345|DROP", where.sql)


def test_filters_of_one_shape_are_one_statement() -> None:
    one, other = ({"a": "x", "b.c": {"$gt": 1}}, {"d e": "y", "f.g": {"$gt": 2.5}})
    assert compile_filter(parse_filter(one)).sql == compile_filter(parse_filter(other)).sql


@pytest.mark.parametrize("operator", [And, Or])
@pytest.mark.parametrize("count", [1, 2, 3, 1000, 20_000])
def test_no_filter_is_too_wide(table: apsw.Connection, operator: type[And | Or], count: int) -> None:
    node = operator(tuple(Field((f"f{number}",), Equal("x")) for number in range(count)))
    verdict = judge(table, {f"f{number}": "x" for number in range(count)}, node)
    assert verdict == (None if count * 3 > MAX_PARAMETERS else 1)


@pytest.mark.parametrize("depth", [1, 100, MAX_NESTING, MAX_NESTING + 1])
def test_no_filter_is_too_deep(table: apsw.Connection, depth: int) -> None:
    leaf = Field(("a", "b", "c"), Equal(1.5))
    node: Node = leaf
    for level in range(depth):
        node = (Not(node), And((leaf, node)), Or((node, Not(leaf))))[level % 3]
    verdict = judge(table, {"a": {"b": {"c": 1.5}}}, node)
    negations = (depth + 2) // 3
    assert verdict == (None if depth > MAX_NESTING else negations % 2 == 0)


def test_a_list_of_any_length_is_decided(table: apsw.Connection) -> None:
    many = [*range(100_000), *(f"text {number}" for number in range(100_000))]
    assert judge(table, {"a": "text 99999"}, parse_filter({"a": {"$in": many}})) == 1


# The id.

ABOUT_IDS = [
    ({"_objId": OBJECT_ID}, 1),
    ({"_objId": "other"}, 0),
    ({"_objId": None}, 0),
    ({"_objId": 1}, 0),
    ({"_objId": {"$ne": "other"}}, 1),
    ({"_objId": {"$in": ["other", OBJECT_ID, 1, None]}}, 1),
    ({"_objId": {"$in": ["other", 1, None]}}, 0),
    ({"_objId": {"$in": [re.compile("x"), OBJECT_ID]}}, 1),
    ({"_objId": {"$in": [re.compile("x"), "other"]}}, None),
    ({"_objId": {"$gt": "A"}}, 1),
    ({"_objId": {"$gt": "B"}}, 0),
    ({"_objId": {"$gt": 1}}, 0),
    ({"_objId": {"$regex": "^A"}}, None),
    ({"_objId": {"$exists": True}}, 1),
    ({"_objId": {"$type": "string"}}, 1),
    ({"_objId": {"$type": "number"}}, 0),
    ({"_objId": {"$size": 12}}, 0),
    ({"_objId.x": 1}, 0),
    ({"_objId.x": None}, 1),
    ({"_objId.x": {"$in": [1, None]}}, 1),
    ({"_objId.x": {"$exists": True}}, 0),
]


@pytest.mark.parametrize(("wanted", "verdict"), ABOUT_IDS)
def test_the_id_is_a_column(table: apsw.Connection, wanted: dict[str, Any], verdict: int | None) -> None:
    assert judge(table, {"_objId": "other"}, parse_filter(wanted)) == verdict


def test_a_number_is_not_an_id_of_the_same_digits(table: apsw.Connection) -> None:
    insert(table, {}, "123456789012")
    where = compile_filter(parse_filter({"_objId": {"$in": [123456789012]}}))
    assert table.execute(f"SELECT {where.sql} FROM t", where.parameters).get == 0


# Sorts.

MISSING_FIELD = object()
SORTED: list[Any] = [
    MISSING_FIELD,
    None,
    [],
    [[]],
    -(2**63),
    -1.5,
    -1,
    -0.0,
    0,
    1,
    1.0,
    2**53,
    2**53 + 1,
    2.0**53,
    2.0**63,
]
SORTED += [
    "",
    "\x00",
    "a\x00",
    "a",
    "b",
    "é",
    "\uffff",
    "😀",
    "[1]",
    {},
    {"b": 1},
    {"b": 1, "c": 2},
    True,
    False,
    2**63 - 1,
]
SORTED += [
    [3, 1],
    [1, "x"],
    [None],
    [True, {}],
    [[1], 2],
    ["é", "\x00"],
    [2**53 + 1],
    [0.1, 0.2],
    [{"x": 1}],
    [[5]],
    *REALS,
]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("path", [("a",), ("a", "b c"), ('q"q',), ("arrays", "b"), ("pair", "0"), ("a", "x", "y")])
def test_sql_sorts_as_the_keys_do(table: apsw.Connection, path: tuple[str, ...], descending: bool) -> None:
    documents = [document for value in SORTED for document in documents_with(value)]
    random.Random(5).shuffle(documents)
    for document in documents:
        insert(table, document)
    for name, function in sort_functions().items():
        table.create_scalar_function(name, function, deterministic=True)
    fields = [FieldOrder(path, descending)]
    (term,) = compile_sort(fields)
    rows: Any = table.execute(f"SELECT doc FROM t ORDER BY {term.sql}, id", term.parameters).fetchall()
    # Compared as text: in Python 1, 1.0 and True are the same.
    expected = sorted(documents, key=Rows(fields).first)
    assert [text for (text,) in rows] == [orjson.dumps(document).decode() for document in expected]


def documents_with(value: Any) -> list[dict[str, Any]]:
    """Documents in which several paths lead to the value."""
    if value is MISSING_FIELD:
        return [{}, {"a": 1}, {"a": {"b": 1}}]
    return [
        {"a": value, 'q"q': value, "pair": [value, 1]},
        {"a": {"b c": value}, "arrays": [{"b": value}, {"b": 5}]},
        {"a": [{"b c": value}], "arrays": {"b": value}},
    ]


@pytest.mark.parametrize("descending", [False, True])
def test_sql_sorts_by_the_id(table: apsw.Connection, descending: bool) -> None:
    for obj_id in ("b", "a", "B"):
        insert(table, {"_objId": "z"}, obj_id)
    (term,) = compile_sort([FieldOrder(("_objId",), descending)])
    rows: Any = table.execute(f"SELECT obj_id FROM t ORDER BY {term.sql}", term.parameters).fetchall()
    assert [obj_id for (obj_id,) in rows] == sorted(["b", "a", "B"], reverse=descending)


def test_what_is_inside_the_id_is_missing_and_sorts_nothing(table: apsw.Connection) -> None:
    for obj_id in ("b", "a"):
        insert(table, {}, obj_id)
    (term,) = compile_sort([FieldOrder(("_objId", "x"))])
    rows: Any = table.execute(f"SELECT obj_id FROM t ORDER BY {term.sql}, id", term.parameters).fetchall()
    assert [obj_id for (obj_id,) in rows] == ["b", "a"]
