"""What filters fit that speak of several fields, of paths through arrays, of the id; and laws that all filters obey."""

import copy
import json
import operator
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poof.object_ids import OBJECT_ID
from poof.query.filters.match import matcher, matches
from poof.query.filters.parse import parse_filter
from poof.query.nodes import Compare, ElementMatch, Equal, Field, Not


def fits(filter_, document, obj_id=None) -> bool:
    return matches(parse_filter(filter_), document, obj_id)


# filter, documents that fit, documents that do not
FILTERS = [
    # several fields, and filters in filters
    ({"a": 1, "b": 2}, [{"a": 1, "b": 2}, {"b": [2], "a": [1]}], [{"a": 1}, {"b": 2}, {"a": 2, "b": 1}, {}]),
    ({"$and": [{"a": 1}, {"b": 2}]}, [{"a": 1, "b": 2}], [{"a": 1}, {"b": 2}]),
    ({"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 5}}]}, [{"a": 3}, {"a": [0, 9]}], [{"a": 9}]),
    ({"$or": [{"a": 1}, {"b": 2}]}, [{"a": 1}, {"b": 2}, {"a": 1, "b": 2}], [{"a": 2, "b": 1}, {}]),
    ({"$or": ({"a": 1},)}, [{"a": 1}], [{"a": 2}]),
    ({"$nor": [{"a": 1}, {"b": 2}]}, [{}, {"a": 2}, {"a": 2, "b": 1}], [{"a": 1}, {"b": 2}, {"a": [3, 1]}]),
    ({"$nor": [{"a": 1, "b": 2}]}, [{"a": 1}, {"b": 2}, {}], [{"a": 1, "b": 2}]),
    ({"c": 1, "$or": [{"a": 1}, {"b": 2}]}, [{"c": 1, "a": 1}], [{"a": 1}, {"c": 1}]),
    ({"$or": [{"a": 1}, {"b": 2}], "$nor": [{"c": 1}]}, [{"a": 1}], [{"a": 1, "c": 1}, {}]),
    ({"$or": [{"$and": [{"a": 1}, {"b": 1}]}, {"$nor": [{"c": None}]}]}, [{"a": 1, "b": 1}, {"c": 1}], [{"a": 1}]),
    # paths through documents
    ({"a.b": 1}, [{"a": {"b": 1}}, {"a": {"b": [1]}}], [{"a": 1}, {"a.b": 1}, {"b": 1}, {}]),
    ({"a.b": None}, [{"a": 4}, {}, {"a": {}}, {"a": None}, {"a": {"b": None}}], [{"a": {"b": 1}}]),
    ({"a.b.c": None}, [{"a": {"b": 1}}, {"a": {}}, {"a": 1}], [{"a": {"b": {"c": 1}}}]),
    ({"a.b": {"$ne": 1}}, [{}, {"a": 1}, {"a": [{"b": 2}]}], [{"a": {"b": 1}}, {"a": [{"b": 2}, {"b": 1}]}]),
    ({"a.b": {"$exists": False}}, [{}, {"a": 1}, {"a": []}, {"a": [1]}, {"a": [{"c": 1}]}], [{"a": {"b": None}}]),
    ({"odd key": 1}, [{"odd key": 1}], [{"odd": {"key": 1}}]),
    ({"_id": 1}, [{"_id": 1}], [{}]),
    # paths through arrays of documents
    ({"a.b": 1}, [{"a": [{"b": 2}, {"b": 1}]}, {"a": [{"b": [1]}]}], [{"a": [1]}, {"a": [[{"b": 1}]]}, {"a": []}]),
    ({"a.b": 1, "a.c": 4}, [{"a": [{"b": 1}, {"c": 4}]}, {"a": {"b": 1, "c": 4}}], [{"a": [{"b": 1}]}]),
    ({"a": {"$elemMatch": {"b": 1, "c": 4}}}, [{"a": [{"b": 1, "c": 4}]}], [{"a": [{"b": 1}, {"c": 4}]}]),
    ({"a.b": {"$exists": False}}, [{"a": [{"c": 1}]}], [{"a": [{"b": 1}, {"c": 1}]}]),
    ({"a.b": {"$gt": 4, "$lt": 6}}, [{"a": [{"b": 3}, {"b": 7}]}], [{"a": [{"b": 3}, {"b": 2}]}]),
    ({"a.b": {"$size": 2}}, [{"a": [{"b": [1]}, {"b": [1, 2]}]}], [{"a": [{"b": 1}, {"b": 2}]}]),
    ({"a.b": {"$elemMatch": {"$gt": 4}}}, [{"a": [{"b": [1, 5]}]}], [{"a": [{"b": 5}]}, {"a": {"b": 5}}]),
    ({"a.b": {"$all": [1, 2]}}, [{"a": [{"b": 1}, {"b": 2}]}, {"a": {"b": [1, 2]}}], [{"a": [{"b": 1}]}]),
    ({"a.b": {"$type": "array"}}, [{"a": [{"b": []}]}], [{"a": [{"b": 1}]}]),
    ({"a.b.c": 1}, [{"a": [{"b": [{"c": 2}, {"c": 1}]}]}], [{"a": [{"b": [[{"c": 1}]]}]}]),
    # indexes
    ({"a.0": 5}, [{"a": [5, 6]}, {"a": {"0": 5}}, {"a": [{"0": 5}]}], [{"a": [6, 5]}, {"a": 5}, {"a": []}]),
    ({"a.1": 4}, [{"a": [{"1": 4}, 5]}, {"a": [5, 4]}], [{"a": [4, 5]}]),
    ({"a.0": {"b": 1}}, [{"a": [{"b": 1}]}], [{"a": [1, {"b": 1}]}]),
    ({"a.0.b": 1}, [{"a": [{"b": 1}]}, {"a": [{"b": [2, 1]}]}], [{"a": [{"b": 2}, {"b": 1}]}]),
    ({"a.1.b": 1}, [{"a": [0, [{"b": 1}]]}, {"a": {"1": {"b": 1}}}], [{"a": [[{"b": 1}]]}]),
    ({"a.0.1": 2}, [{"a": [[1, 2]]}, {"a": [{"1": 2}]}], [{"a": [[2, 1]]}]),
    ({"a.0": [1, 2]}, [{"a": [[1, 2]]}], [{"a": [1, 2]}]),
    ({"a.0": 1}, [{"a": [1]}], [{"a": [[1, 2]]}]),
    ({"a.0": {"$size": 2}}, [{"a": [[1, 2]]}], [{"a": [1, 2]}]),
    ({"a.0": {"$elemMatch": {"$gt": 1}}}, [{"a": [[1, 2]]}], [{"a": [[1]]}, {"a": [2]}]),
    ({"a.5": {"$exists": True}}, [{"a": [0] * 6}, {"a": {"5": None}}], [{"a": [0] * 5}]),
    ({"a.01": 5}, [{"a": {"01": 5}}], [{"a": [4, 5]}]),
    ({"0": 5}, [{"0": 5}], [{}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("filter_", "document", "expected"),
    [
        (filter_, document, expected)
        for filter_, fitting, others in FILTERS
        for documents, expected in ((fitting, True), (others, False))
        for document in documents
    ],
)
def test_a_filter_fits_or_not(filter_, document, expected):
    assert fits(filter_, document) is expected


SHAPES = {
    "no a": {},
    "null": {"a": None},
    "number": {"a": 4},
    "empty": {"a": {}},
    "b null": {"a": {"b": None}},
    "b text": {"a": {"b": "hi"}},
    "[]": {"a": []},
    "[[]]": {"a": [[]]},
    "nulls": {"a": [None, None]},
    "values": {"a": [1, "string", 4]},
    "values and null": {"a": [1, "string", None, 4]},
    "all b null": {"a": [{"b": None}, {"b": None}, {}]},
    "no b null": {"a": [{"b": 1}, {"b": "string"}]},
    "some b null": {"a": [{"b": None}, {"b": 3}]},
    "some b missing": {"a": [{"b": 3}, {}]},
}
A_NULL = {"no a", "null", "nulls", "values and null"}
B_NULL = {"no a", "null", "number", "empty", "b null", "all b null", "some b null", "some b missing"}
ELEMENT_B_NULL = {"all b null", "some b null", "some b missing"}


@pytest.mark.parametrize(
    ("filter_", "fitting"),
    [
        ({"a": None}, A_NULL),
        ({"a": {"$ne": None}}, SHAPES.keys() - A_NULL),
        ({"a": {"$not": {"$gte": None}}}, SHAPES.keys() - A_NULL),
        ({"a": {"$in": [None, 75]}}, A_NULL),
        ({"$or": [{"a": None}, {"a": 75}]}, A_NULL),
        ({"a": {"$nin": [None, 75]}}, SHAPES.keys() - A_NULL),
        ({"a": {"$exists": False}}, {"no a"}),
        ({"a.b": None}, B_NULL),
        ({"a.b": {"$ne": None}}, SHAPES.keys() - B_NULL),
        ({"a.b": {"$in": [None, 75]}}, B_NULL),
        ({"a.b": {"$nin": [None, 75]}}, SHAPES.keys() - B_NULL),
        ({"a": {"$elemMatch": {"$eq": None}}}, {"nulls", "values and null"}),
        ({"a": {"$elemMatch": {"$ne": None}}}, ELEMENT_B_NULL | {"[[]]", "values", "values and null", "no b null"}),
        ({"a.b": {"$elemMatch": {"$eq": None}}}, set()),
        ({"a.b": {"$elemMatch": {"$ne": None}}}, set()),
        ({"a": {"$elemMatch": {"b": None}}}, ELEMENT_B_NULL | {"[[]]"}),
        ({"a": {"$elemMatch": {"b": {"$ne": None}}}}, {"no b null", "some b null", "some b missing"}),
    ],
    ids=lambda value: str(value if isinstance(value, dict) else sorted(value)),
)  # fmt: skip
def test_null_and_missing_in_documents_of_every_shape(filter_, fitting):
    assert {name for name, document in SHAPES.items() if fits(filter_, document)} == fitting


@pytest.mark.parametrize(
    ("filter_", "obj_id", "expected"),
    [
        ({"_objId": "abc"}, "abc", True),
        ({"_objId": "abc"}, "abd", False),
        ({"_objId": "abc"}, None, False),
        ({"_objId": None}, None, True),
        ({"_objId": None}, "abc", False),
        ({"_objId": {"$in": ["x", "abc"]}}, "abc", True),
        ({"_objId": {"$exists": True}}, "abc", True),
        ({"_objId": {"$exists": True}}, None, False),
        ({"_objId": {"$gt": "abb"}, "a": 1}, "abc", True),
        ({"$nor": [{"$or": [{"_objId": "abc"}, {"a": 2}]}]}, "abd", True),
        ({"_objId.b": 1}, "abc", False),
        ({"_objId.b": None}, "abc", True),
        ({"a": {"$elemMatch": {"_objId": "abc"}}}, "abc", False),
        ({"c": {"$elemMatch": {"_objId": "xyz"}}}, "abc", True),
        ({"c._objId": "xyz"}, "abc", True),
        ({"_id": "abc"}, "abc", False),
    ],
)
def test_the_id_of_a_document_is_no_field_of_its_data(filter_, obj_id, expected):
    document = {"_objId": {"b": 1}, "a": 1, "c": [{"_objId": "xyz"}]}
    assert fits(filter_, document, obj_id) is expected
    assert document["_objId"] == {"b": 1}


def test_the_name_of_the_id_is_the_one_that_documents_have():
    assert OBJECT_ID == "_objId"


def test_a_document_may_be_any_mapping():
    assert fits({"a": 1, "b.c": 2}, types.MappingProxyType({"a": 1, "b": {"c": 2}}))


def test_a_matcher_is_made_once_for_many_documents():
    fits_it = matcher(parse_filter({"a": {"$gt": 1}}))
    assert [fits_it({"a": a}, None) for a in (1, 2, "x", [0, 3])] == [False, True, False, True]


def test_a_test_on_a_field_opens_an_element_that_is_an_array_only_by_its_node():
    # Such trees come from no filter, but all who read trees agree on them.
    inner = ElementMatch(Field(("b",), Equal(1)))
    assert matches(Field(("a",), inner), {"a": [[{"b": 1}]]})
    assert not matches(Field(("a",), ElementMatch(Field((), Compare(">", 4)))), {"a": [[5]]})


@pytest.mark.parametrize(
    "wrap", [lambda f: {"$nor": [f, {"b": 1}]}, lambda f: {"$or": [{"b": 1}, f]}, lambda f: {"$and": [{}, f]}]
)
def test_the_deepest_filter_that_is_allowed_is_answered(wrap):
    filter_ = {"a": 1}
    for _ in range(98):
        filter_ = wrap(filter_)
    assert fits(filter_, {"a": 1})


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -0.0]) | st.text("ab", max_size=2)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=2),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("ab"), JSON, max_size=2)
PATHS = st.lists(st.sampled_from("ab01"), min_size=1, max_size=3).map(".".join)
CONDITIONS = st.recursive(
    st.fixed_dictionaries({"$eq": JSON})
    | st.fixed_dictionaries({"$in": st.lists(JSON, max_size=3)})
    | st.sampled_from(["$gt", "$gte", "$lt", "$lte"]).flatmap(lambda name: st.fixed_dictionaries({name: JSON}))
    | st.fixed_dictionaries({"$type": st.sampled_from(["number", "string", "array", "object", "null", "bool"])})
    | st.fixed_dictionaries({"$exists": st.booleans()})
    | st.fixed_dictionaries({"$size": st.integers(0, 3)})
    | st.fixed_dictionaries({"$mod": st.tuples(st.sampled_from([2, -3]), st.integers(-2, 2))})
    | st.fixed_dictionaries({"$regex": st.sampled_from(["a", "^b", "a$"])})
    | st.fixed_dictionaries({"$all": st.lists(JSON, max_size=2)}),
    lambda inner: inner.flatmap(lambda condition: st.sampled_from([{"$not": condition}, {"$elemMatch": condition}])),
    max_leaves=3,
)
laws = settings(deadline=None, max_examples=60)


@given(DOCUMENTS, PATHS, JSON)
@laws
def test_the_negative_operators_are_opposites(document, path, value):
    assert fits({path: {"$ne": value}}, document) is not fits({path: {"$eq": value}}, document)
    assert fits({path: {"$nin": [value]}}, document) is not fits({path: {"$in": [value]}}, document)


@given(DOCUMENTS, PATHS, CONDITIONS, CONDITIONS)
@laws
def test_the_logical_operators_are_those_of_logic(document, path, one, other):
    first, second = fits({path: one}, document), fits({path: other}, document)
    assert fits({path: {"$not": one}}, document) is not first
    assert fits({"$and": [{path: one}, {path: other}]}, document) is (first and second)
    assert fits({"$or": [{path: one}, {path: other}]}, document) is (first or second)
    assert fits({"$nor": [{path: one}, {path: other}]}, document) is not (first or second)


@given(DOCUMENTS, PATHS, st.lists(JSON, min_size=1, max_size=3))
@laws
def test_in_and_all_are_several_equalities(document, path, values):
    equal = [fits({path: {"$eq": value}}, document) for value in values]
    assert fits({path: {"$in": values}}, document) is any(equal)
    assert fits({path: {"$all": values}}, document) is all(equal)


@given(JSON)
@laws
def test_every_value_is_equal_to_itself_and_found_in_an_array(value):
    assert fits({"a": {"$eq": value}}, {"a": value})
    assert fits({"a": {"$eq": value}}, {"a": [[], value]})
    assert fits({"a": {"$gte": value}}, {"a": value})
    assert not fits({"a": {"$elemMatch": {"$gt": value}}}, {"a": [value]})


@given(st.lists(JSON, max_size=3), CONDITIONS)
@laws
def test_an_element_match_asks_each_element_alone(elements, condition):
    # An element that is no array is asked the same as a field of its own.
    plain = [element for element in elements if not isinstance(element, list)]
    expected = any(fits({"a": condition}, {"a": element}) for element in plain)
    assert fits({"a": {"$elemMatch": condition}}, {"a": plain}) is expected


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))
@laws
def test_numbers_compare_exactly(value, number):
    compares = {"$lt": operator.lt, "$lte": operator.le, "$gt": operator.gt, "$gte": operator.ge, "$eq": operator.eq}
    for name, compare in compares.items():
        assert fits({"a": {name: number}}, {"a": value}) is compare(value, number)


@given(DOCUMENTS, PATHS, CONDITIONS)
@laws
def test_a_filter_changes_neither_itself_nor_the_document(document, path, condition):
    before = copy.deepcopy(document), json.dumps(condition)
    node = parse_filter({path: condition})
    assert matches(node, document) is not matches(Not(node), document)
    assert (document, json.dumps(condition)) == before
