"""Which fields a projection returns: MongoDB's rules, one case each."""

import copy
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poof import InvalidQueryError
from poof.query.projection import parse_projection

DOCUMENT = {"a": 1, "b": {"c": 2, "d": {"e": 3, "f": 4}}, "g": [5, 6, 7], "h": None}
LINES = [{"sku": "x", "n": 1, "tags": [1, 2]}, 5, {"n": 2}, None, [{"sku": "y", "n": 3}, 6], {"sku": "z"}]

# projection, document, what is returned of it
PROJECTIONS = {
    "include": ({"a": 1}, DOCUMENT, {"a": 1}),
    "include by True": ({"a": True}, DOCUMENT, {"a": 1}),
    "include by 1.0": ({"a": 1.0}, DOCUMENT, {"a": 1}),
    "include several in the order of the document": ({"h": 1, "a": 1}, DOCUMENT, {"a": 1, "h": None}),
    "include what is missing": ({"x": 1, "a": 1}, DOCUMENT, {"a": 1}),
    "include a document whole": ({"b": 1}, DOCUMENT, {"b": {"c": 2, "d": {"e": 3, "f": 4}}}),
    "include a field inside": ({"b.c": 1}, DOCUMENT, {"b": {"c": 2}}),
    "include fields inside": ({"b.d.f": 1, "b.c": 1}, DOCUMENT, {"b": {"c": 2, "d": {"f": 4}}}),
    "include a field inside, as a dict": ({"b": {"c": 1, "d": {"f": 1}}}, DOCUMENT, {"b": {"c": 2, "d": {"f": 4}}}),
    "include both ways": ({"b": {"c": 1, "d.f": 1}, "a": 1}, DOCUMENT, {"a": 1, "b": {"c": 2, "d": {"f": 4}}}),
    "include nothing inside a document": ({"b.x": 1}, DOCUMENT, {"b": {}}),
    "include inside a number": ({"a.x": 1}, DOCUMENT, {}),
    "include inside null": ({"h.x": 1}, DOCUMENT, {}),
    "include inside numbers": ({"g.x": 1}, DOCUMENT, {"g": []}),
    "an index is a name": ({"g.0": 1}, DOCUMENT, {"g": []}),
    "include inside an array": (
        {"lines.sku": 1},
        {"lines": LINES},
        {"lines": [{"sku": "x"}, {}, [{"sku": "y"}], {"sku": "z"}]},
    ),
    "a list of names": (["a", "b.c"], DOCUMENT, {"a": 1, "b": {"c": 2}}),
    "a tuple of names": (("h",), DOCUMENT, {"h": None}),
    "an empty list of names": ([], DOCUMENT, {}),
    "the id alone": ({"_objId": 1}, DOCUMENT, {}),
    "the id alone in a list": (["_objId"], DOCUMENT, {}),
    "the id and fields": ({"_objId": True, "a": 1}, DOCUMENT, {"a": 1}),
    "the id left out": ({"_objId": 0}, DOCUMENT, DOCUMENT),
    "the id left out beside an inclusion": ({"_objId": False, "a": 1}, DOCUMENT, {"a": 1}),
    "the id left out beside an exclusion": ({"_objId": 0, "b": 0, "g": 0}, DOCUMENT, {"a": 1, "h": None}),
    "_id left out": ({"_id": 0}, {"_id": 5, "a": 1}, {"a": 1}),
    "_id left out beside an inclusion": ({"a": 1, "_id": 0}, {"_id": 5, "a": 1, "b": 2}, {"a": 1}),
    "_id left out beside an exclusion": ({"_id": 0.0, "b": 0}, {"_id": 5, "a": 1, "b": 2}, {"a": 1}),
    "_id left out beside a $slice": ({"_id": 0, "a": {"$slice": 1}}, {"_id": 5, "a": [1, 2]}, {"a": [1]}),
    "_id left out beside an $elemMatch": (
        {"_id": 0, "a": {"$elemMatch": {"$gt": 1}}},
        {"_id": 5, "a": [1, 2], "b": 3},
        {"a": [2]},
    ),
    "_id left out beside the id alone": ({"_id": 0, "_objId": 1}, {"_id": 5, "a": 1}, {}),
    "_id left out where it is not": ({"a.b": 1, "_id": False}, {"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}),
    "_id is included like any field": ({"_id": 1}, {"_id": 5, "a": 1}, {"_id": 5}),
    "$elemMatch of arrays": ({"a": {"$elemMatch": {"0": 2}}}, {"a": [[1], [2, 3]]}, {"a": [[2, 3]]}),
    "exclude": ({"b": 0}, DOCUMENT, {"a": 1, "g": [5, 6, 7], "h": None}),
    "exclude by False": ({"b": False, "g": 0.0}, DOCUMENT, {"a": 1, "h": None}),
    "exclude what is missing": ({"x": 0, "x2.y": 0}, DOCUMENT, DOCUMENT),
    "exclude a field inside": ({"b.d.e": 0, "g": 0}, DOCUMENT, {"a": 1, "b": {"c": 2, "d": {"f": 4}}, "h": None}),
    "exclude a field inside, as a dict": ({"b": {"d": 0}, "g": 0}, DOCUMENT, {"a": 1, "b": {"c": 2}, "h": None}),
    "exclude inside what is no document": ({"a.x": 0, "g.x": 0, "h.x": 0}, DOCUMENT, DOCUMENT),
    "exclude inside an array": (
        {"lines.sku": 0, "lines.tags": 0},
        {"lines": LINES},
        {"lines": [{"n": 1}, 5, {"n": 2}, None, [{"n": 3}, 6], {}]},
    ),
    "exclude beside the id": ({"_objId": 1, "b": 0, "g": 0}, DOCUMENT, {"a": 1, "h": None}),
    "$slice returns all other fields": ({"g": {"$slice": 1}}, DOCUMENT, {**DOCUMENT, "g": [5]}),
    "$slice beside an exclusion": ({"g": {"$slice": 1}, "b": 0}, DOCUMENT, {"a": 1, "g": [5], "h": None}),
    "$slice beside an inclusion": ({"g": {"$slice": 1}, "a": 1}, DOCUMENT, {"a": 1, "g": [5]}),
    "$slice beside the id": ({"g": {"$slice": 1}, "_objId": 1}, DOCUMENT, {"g": [5]}),
    "$slice of what is no array": ({"a": {"$slice": 1}, "b": {"$slice": 1}}, DOCUMENT, DOCUMENT),
    "$slice of what is missing": ({"x": {"$slice": 1}}, DOCUMENT, DOCUMENT),
    "$slice inside a document": ({"x.g": {"$slice": 1}}, {"x": {"g": [1, 2], "y": 3}}, {"x": {"g": [1], "y": 3}}),
    "$slice inside a document that is included": (
        {"x.g": {"$slice": 1}, "a": 1},
        {"x": {"g": [1, 2], "y": 3}, "a": 4},
        {"x": {"g": [1]}, "a": 4},
    ),
    "$slice inside an array": ({"x.g": {"$slice": 1}}, {"x": [{"g": [1, 2]}, 3]}, {"x": [{"g": [1]}, 3]}),
    "$elemMatch": ({"g": {"$elemMatch": {"$gt": 5}}}, DOCUMENT, {"g": [6]}),
    "$elemMatch of documents": (
        {"lines": {"$elemMatch": {"n": {"$gte": 2}}}},
        {"lines": LINES, "a": 1},
        {"lines": [{"n": 2}]},
    ),
    "$elemMatch beside an inclusion": ({"g": {"$elemMatch": {"$gt": 5}}, "a": 1}, DOCUMENT, {"a": 1, "g": [6]}),
    "$elemMatch beside a $slice": (
        {"g": {"$elemMatch": {"$gt": 5}}, "i": {"$slice": 1}},
        {**DOCUMENT, "i": [1, 2]},
        {"g": [6], "i": [1]},
    ),
    "$elemMatch that nothing fits": ({"g": {"$elemMatch": {"$gt": 9}}}, DOCUMENT, {}),
    "$elemMatch of what is no array": ({"a": {"$elemMatch": {"$gte": 1}}, "b": {"$elemMatch": {"c": 2}}}, DOCUMENT, {}),
    "a field of the data that is called _objId": ({"a": 1}, {"a": 1, "_objId": "x"}, {"a": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("projection", "document", "result"), PROJECTIONS.values(), ids=PROJECTIONS)
def test_a_projection_returns_some_fields(projection, document, result):
    before = copy.deepcopy(document)
    assert repr(parse_projection(projection).apply(document)) == repr(result)
    assert document == before


@pytest.mark.parametrize(
    ("operand", "result"),
    [
        (0, []),
        (1, [5]),
        (2.0, [5, 6]),
        (9, [5, 6, 7]),
        (-1, [7]),
        (-2, [6, 7]),
        (-9, [5, 6, 7]),
        ([0, 2], [5, 6]),
        ([1, 1], [6]),
        ([1, 9], [6, 7]),
        ([3, 1], []),
        ([9, 1], []),
        ([-1, 1], [7]),
        ([-2, 1], [6]),
        ([-2, 9], [6, 7]),
        ([-9, 2], [5, 6]),
        ((1, 2.0), [6, 7]),
    ],
    ids=repr,
)
def test_a_slice_returns_some_elements(operand, result):
    assert parse_projection({"g": {"$slice": operand}}).apply({"g": [5, 6, 7]}) == {"g": result}


@pytest.mark.parametrize("projection", [None, {}, types.MappingProxyType({})], ids=repr)
def test_no_projection_returns_everything(projection):
    assert parse_projection(projection) is None


def test_a_projection_may_be_any_mapping():
    assert parse_projection(types.MappingProxyType({"a": 1})).apply(DOCUMENT) == {"a": 1}


@pytest.mark.parametrize(
    ("projection", "says"),
    [
        ("name", "A projection is a list of names, or a dict such as {'name': 1} or {'password': 0}, not str"),
        (1, "not int"),
        ({"a"}, "not set"),
        ([1], "The name of a field is text, not int"),
        ([("a", 1)], "The name of a field is text, not tuple"),
        ({1: 1}, "The name of a field is text"),
        ({"": 1}, "empty name"),
        ({"a..b": 1}, "empty name"),
        ({"$a": 1}, "begins with $"),
        ({"a": {"b..c": 1}}, "empty name"),
        ({"a": 1, "b": 0}, "The projection includes 'a' and excludes 'b'; it can do only one of both"),
        ({"a.b": 0, "c": {"$slice": 1}, "d": 1}, "includes 'd' and excludes 'a.b'"),
        ({"a": {"b": 1, "c": 0}}, "includes 'a.b' and excludes 'a.c'"),
        ({"a": {"$elemMatch": {"b": 1}}, "c": 0}, "includes 'a' and excludes 'c'"),
        ({"_objId": 2}, "'_objId' takes 1 or 0, and every document is returned with its id"),
        ({"_objId": {"$slice": 1}}, "'_objId' takes 1 or 0"),
        ({"_objId": {"a": 1}}, "'_objId' takes 1 or 0"),
        ({"_objId.a": 1}, "names a part of the _objId"),
        ({"_id": 1, "a": 0}, "includes '_id' and excludes 'a'"),
        ({"_id.x": 0, "a": 1}, "includes 'a' and excludes '_id.x'"),
        ({"_id": 0, "_id.x": 1}, "The projection names both '_id' and '_id.x' inside it"),
        ({"a": 1, "a.b": 1}, "The projection names both 'a' and 'a.b' inside it"),
        ({"a": {"b": 0}, "a.b.c": 0}, "The projection names both 'a.b' and 'a.b.c' inside it"),
        ({"a": {"$slice": 1}, "a.b": 1}, "The projection names both 'a' and 'a.b' inside it"),
        (["a", "b", "a"], "The projection names 'a' twice"),
        ({"a": "b"}, "The projection of the field 'a' takes 1 or True to include it, 0 or False to exclude it"),
        ({"a": 2}, "takes 1 or True"),
        ({"a": -1}, "takes 1 or True"),
        ({"a": None}, "takes 1 or True"),
        ({"a": [1]}, "takes 1 or True"),
        ({"a": float("nan")}, "takes 1 or True"),
        ({"a": {}}, "The projection of the field 'a' names no field inside it"),
        ({"a": {"b": {}}}, "The projection of the field 'a.b' names no field inside it"),
        ({"a.$": 1}, "The projection 'a.$' has a $, which is not supported; write {'field': {'$elemMatch': ...}}"),
        ({"a.$.b": 1}, "has a $, which is not supported"),
        (["a.$"], "has a $, which is not supported"),
        ({"a": {"$meta": 1}}, "operator '$meta' of the field 'a'. The operators of a projection are $elemMatch, "),
        ({"a": {"$slice": 1, "b": 1}}, "Unknown operator 'b' of the field 'a'"),
        ({"a": {"$slice": 1, "$elemMatch": {"$gt": 1}}}, "The projection of the field 'a' takes one operator, not two"),
        *[
            ({"a.b": {"$slice": operand}}, "$slice of the field 'a.b' takes a whole number, or a list of two")
            for operand in [
                0.5, "1", None, True, {}, [], [1], [1, 2, 3], [1, "2"], [0.5, 1], [1, 0], [1, -1], [True, 1],
            ]
        ],
        ({"a": {"$slice": float("inf")}}, "$slice of the field 'a' is NaN or infinite"),
        ({"a": {"$elemMatch": 1}}, "$elemMatch of the field 'a' takes a filter or operators, in a dict, not int"),
        ({"a": {"$elemMatch": {"$foo": 1}}}, "Unknown operator '$foo' of the field 'a'"),
        ({"a.b": {"$elemMatch": {"c": 1}}}, "$elemMatch of the field 'a.b' is not possible"),
        ({"a": {"b": {"$elemMatch": {"c": 1}}}}, "$elemMatch of the field 'a.b' is not possible"),
    ],
)  # fmt: skip
def test_what_is_no_projection_is_refused(projection, says):
    with pytest.raises(InvalidQueryError) as caught:
        parse_projection(projection)
    assert says in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_projection_deeper_than_any_document_is_refused():
    projection = 1
    for _ in range(101):
        projection = {"a": projection}
    with pytest.raises(InvalidQueryError, match="101 steps"):
        parse_projection(projection)


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.integers(0, 3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES)


@given(DOCUMENTS, st.sets(NAMES, min_size=1))
def test_what_is_included_and_what_is_excluded_make_the_whole(document, names):
    included = parse_projection(sorted(names)).apply(document)
    excluded = parse_projection(dict.fromkeys(names, 0)).apply(document)
    assert included | excluded == document
    assert not included.keys() & excluded.keys()
    assert [name for name in document if name in included] == list(included)


@given(DOCUMENTS, st.lists(NAMES, min_size=1, max_size=3).map(".".join), st.sampled_from([0, 1]))
def test_a_projection_of_a_projection_is_the_same(document, name, included):
    projection = parse_projection({name: included})
    before = copy.deepcopy(document)
    once = projection.apply(document)
    assert projection.apply(once) == once
    assert document == before
