"""What an upsert takes of its filter: what is said by equality, and nothing else."""

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poof import InvalidQueryError
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.nodes import Equal, Field, Or
from poof.query.updates.update import parse_update
from poof.query.updates.upsert import Seed, seed, seed_id

ID = "AbCdEfGhIjKl"
NOW = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("filter_", "data"),
    [
        ({}, {}),
        (None, {}),
        ({"x": 1}, {"x": 1}),
        ({"x": None}, {"x": None}),
        ({"y": 1, "x": 2}, {"y": 1, "x": 2}),
        ({"x": {"$eq": 1}}, {"x": 1}),
        ({"x": [1, 2]}, {"x": [1, 2]}),
        ({"x": {"a.b": 1}}, {"x": {"a.b": 1}}),
        ({"x": {"$in": [1]}}, {"x": 1}),
        ({"x": {"$all": [1]}}, {"x": 1}),
        ({"x.y": 1}, {"x": {"y": 1}}),
        ({"x.y": 1, "x.z": 2, "x.a.b": 3}, {"x": {"y": 1, "z": 2, "a": {"b": 3}}}),
        ({"x.0": 1}, {"x": {"0": 1}}),
        ({"$and": [{"x": 1}, {"y": {"$eq": 2}}]}, {"x": 1, "y": 2}),
        ({"$and": [{"x": 1}, {"$and": [{"y": 2}]}], "z": 3}, {"x": 1, "y": 2, "z": 3}),
        ({"$or": [{"x": 1}]}, {"x": 1}),
        ({"x": {"$gte": 1, "$eq": 2}}, {"x": 2}),
        ({"x": {"$gt": 1}}, {}),
        ({"x": {"$ne": 1}}, {}),
        ({"x": {"$nin": [1]}}, {}),
        ({"x": {"$in": [1, 2]}}, {}),
        ({"x": {"$in": []}}, {}),
        ({"x": {"$in": [re.compile("a")]}}, {}),
        ({"x": re.compile("a")}, {}),
        ({"x": {"$exists": True}}, {}),
        ({"x": {"$type": "null"}}, {}),
        ({"x": {"$size": 1}}, {}),
        ({"x": {"$mod": [2, 0]}}, {}),
        ({"x": {"$elemMatch": {"$eq": 1}}}, {}),
        ({"x": {"$elemMatch": {"y": 1}}}, {}),
        ({"x": {"$not": {"$eq": 1}}}, {}),
        ({"$nor": [{"x": 1}]}, {}),
        ({"$or": [{"x": 1}, {"x": 2}]}, {}),
        ({"$or": [{"x": 1}, {"y": 1}]}, {}),
        ({"y": 1, "$or": [{"x": 1}, {"x": 2}], "z": {"$gt": 0}}, {"y": 1}),
    ],
    ids=repr,
)
def test_an_upsert_begins_with_what_is_said_by_equality(filter_, data):
    assert repr(seed(parse_filter(filter_))) == repr(Seed(data))


@pytest.mark.parametrize(
    ("filter_", "collision"),
    [
        ({"x": 1, "x.y": 1}, "both 'x' and 'x.y' inside it"),
        ({"x": {"y": 1}, "x.y": 1}, "both 'x' and 'x.y' inside it"),
        ({"x": {}, "x.y.z": 1}, "both 'x' and 'x.y.z' inside it"),
        ({"x": {"$all": [1, 2]}}, "'x' twice"),
        ({"$and": [{"x": 1}, {"x": 1}]}, "'x' twice"),
        ({"x.y": 1, "$and": [{"x.y": 2}]}, "'x.y' twice"),
        ({"_objId": ID, "$and": [{"_objId": ID}]}, "'_objId' twice"),
    ],
)
def test_two_values_for_one_field_are_refused(filter_, collision):
    with pytest.raises(InvalidQueryError) as caught:
        seed(parse_filter(filter_))
    assert str(caught.value) == (f"An upsert cannot begin a document with this filter: it gives {collision}.")


@pytest.mark.parametrize(
    "filter_",
    [
        {"_objId": ID},
        {"_objId": {"$eq": ID}},
        {"_objId": {"$in": [ID]}},
        {"$and": [{"_objId": ID}]},
        {"_objId": "a" * 26},
        {"_objId": "order/2024-001:$~!"},
    ],
    ids=repr,
)
def test_an_id_in_the_filter_is_that_of_the_new_document(filter_):
    obj_id = next(each for each in ("a" * 26, "order/2024-001:$~!", ID) if each in str(filter_))
    assert seed(parse_filter({"x": 1, **filter_})) == Seed({"x": 1}, obj_id)
    assert seed_id(parse_filter({"x": 1, **filter_})) == obj_id


@pytest.mark.parametrize("condition", [{"$gt": ID}, {"$in": [ID, "B" * 12]}, {"$exists": True}, {"$ne": ID}], ids=repr)
def test_an_id_that_is_not_said_by_equality_is_left_to_chance(condition):
    assert seed(parse_filter({"_objId": condition})) == Seed({})
    assert seed_id(parse_filter({"_objId": condition})) is None


@pytest.mark.parametrize(
    "obj_id",
    ["", "a" * 11, "a" * 27, "AbCdEfGhIjK ", "AbCdEfGhIjK\u00e9", ID + "\n", 1, None, True, [ID], {"a": 1}],
    ids=repr,
)
def test_an_id_that_no_document_can_have_is_refused(obj_id):
    with pytest.raises(InvalidQueryError) as caught:
        seed(parse_filter({"_objId": obj_id}))
    assert "an id is text of 12 to 26 visible ASCII characters" in str(caught.value)
    with pytest.raises(InvalidQueryError):
        seed_id(parse_filter({"_objId": obj_id}))


def test_a_field_inside_the_id_is_refused():
    with pytest.raises(InvalidQueryError, match="an id is text"):
        seed(parse_filter({"_objId.a": ID}))


def test_a_replacement_takes_the_id_of_a_filter_that_is_no_beginning_of_a_document():
    assert seed_id(parse_filter({"_objId": ID, "x": 1, "x.y": 1})) == ID
    assert seed_id(parse_filter({"x": 1, "x.y": 1})) is None


def test_an_or_of_one_filter_is_that_filter():
    assert seed(Or((Field(("x",), Equal(1)),))) == Seed({"x": 1})


@pytest.mark.parametrize(
    ("filter_", "update", "data"),
    [
        ({"x": 1}, {"$set": {"x": 2}}, {"x": 2}),
        ({"x": 1}, {"$inc": {"x": 2}}, {"x": 3}),
        ({"x": 1}, {"$unset": {"x": ""}}, {}),
        ({"x": 1}, {"$setOnInsert": {"x": 2, "y": 3}}, {"x": 2, "y": 3}),
        ({"x.y": 1}, {"$set": {"x.z": 2}}, {"x": {"y": 1, "z": 2}}),
        ({"x": {"$gt": 1}}, {"$inc": {"x": 5}}, {"x": 5}),
        ({"x": [1, 2]}, {"$set": {"x.$[]": 0}}, {"x": [0, 0]}),
        ({"x": [1]}, {"$push": {"x": 2}}, {"x": [1, 2]}),
        ({"x": 1}, {"$rename": {"x": "y"}}, {"y": 1}),
    ],
)
def test_the_update_wins_over_the_filter(filter_, update, data):
    start = seed(parse_filter(filter_))
    assert parse_update(update).apply(start.data, now=NOW, inserting=True) == data


def test_the_update_does_not_change_the_filter():
    node = parse_filter({"x": [1], "y": {"z": []}})
    for _ in range(2):
        data = parse_update({"$push": {"x": 2, "y.z": 3}}).apply(seed(node).data, now=NOW, inserting=True)
        assert data == {"x": [1, 2], "y": {"z": [3]}}


NAMES = st.sampled_from(["a", "b", "a.c", "b.c.d", "b.c.e", "f.0"])
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text() | st.lists(st.integers(-9, 9), max_size=2)


@given(st.dictionaries(NAMES, VALUES))
def test_what_an_upsert_begins_with_fits_its_filter(filter_):
    node = parse_filter(filter_)
    try:
        start = seed(node)
    except InvalidQueryError:
        assert {"a", "a.c"} <= filter_.keys() or ("b" in filter_ and len(filter_.keys() & {"b.c.d", "b.c.e"}) > 0)
    else:
        assert matches(node, start.data)
