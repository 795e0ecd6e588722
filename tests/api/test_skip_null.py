"""Indexes with `skip_null`: unique where there is a value, and in use where a query asks for one."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from poof import DuplicateKeyError, F, Indexed, IndexInfo
from poof.query.fields import FieldOrder, parse_fields
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.indexes.definition import MULTIKEY_MARK, SHARED_MARK, IndexDefinition, keys_of
from poof.query.indexes.plan import Index, make_plan


class Strict(BaseModel):
    mail: Annotated[str | None, Indexed(unique=True)] = None


class Loose(BaseModel):
    mail: Annotated[str | None, Indexed(unique=True, skip_null=True)] = None


async def test_null_is_a_value_that_one_document_may_have(open_collection):
    async with open_collection(model=Strict) as people:
        await people.insert(Strict())
        with pytest.raises(DuplicateKeyError):
            await people.insert(Strict())


async def test_any_number_of_documents_may_lack_what_is_unique_where_it_is_there(open_collection):
    async with open_collection(model=Loose) as people:
        assert await people.list_indexes() == [IndexInfo("mail_1", [("mail", 1)], unique=True, skip_null=True)]
        await people.insert_many([Loose(), Loose(), Loose(mail="a")])
        with pytest.raises(DuplicateKeyError):
            await people.insert(Loose(mail="a"))
        with pytest.raises(DuplicateKeyError):
            await people.update_many({"mail": None}, {"$set": {"mail": "b"}})
        await people.update_many({}, {"$set": {"mail": None}})
        assert await people.count_documents({"mail": None}) == 3
        assert await people.distinct("mail") == [None]


LISTED = [
    ("a", {"a": 0}, True),
    ("a", {"a": None}, False),
    ("a", {}, False),
    ("a", {"a": []}, True),
    ("a", {"a": [None]}, True),
    ("a", {"a": {}}, True),
    ("a.b", {"a": 5}, False),
    ("a.b", {"a": {"b": None}}, False),
    ("a.b", {"a": []}, True),
    ("a.b", {"a": [5]}, True),
    ("a.b", {"a": [{}, {"b": None}]}, False),
    ("a.b", {"a": [{}, {"b": 1}]}, True),
    ("a.b", {"a": [{"b": []}]}, True),
    (["a", "b"], {"a": None, "b": None}, False),
    (["a", "b"], {"b": 1}, True),
    ([("a", -1), "b"], {"a": None}, False),
    ([("a", -1), "b"], {"a": 1}, True),
]


@pytest.mark.parametrize(("fields", "document", "is_listed"), LISTED, ids=map(str, range(len(LISTED))))
def test_a_document_is_listed_unless_every_field_is_null_or_missing(fields, document, is_listed):
    definition = IndexDefinition(parse_fields(fields, what="index"), skip_null=True)
    assert bool(keys_of(definition.encode())(1, document)) is is_listed
    plain = IndexDefinition(parse_fields(fields, what="index"))
    assert keys_of(definition.encode())(1, document) in (set(), keys_of(plain.encode())(1, document))


async def test_arrays_are_values_to_a_unique_index(open_collection):
    async with open_collection() as people:
        await people.create_index("a", unique=True, skip_null=True)
        for value in ([], [None]):
            await people.insert({"a": value})
            with pytest.raises(DuplicateKeyError):
                await people.insert({"a": value})


SERVED = [
    {"a": 1},
    {"a": {"$gt": 1}},
    {"a": {"$in": [1, 2]}},
    {"a": {"$ne": None}},
    {"a": {"$nin": [None, 5]}},
    {"a": {"$not": {"$eq": None}}},
    {"a": {"$type": "number"}},
    {"a": {"$ne": None}, "c": 1},
    {"$and": [{"c": 1}, {"a": {"$regex": "x"}}]},
    {"a": {"$elemMatch": {"$gt": 0}}},
    F.a.is_null(False),
]
NOT_SERVED: list[dict[str, Any]] = [
    {},
    {"a": None},
    {"a": {"$in": [1, None]}},
    {"a": {"$exists": True}},
    {"a": {"$exists": False}},
    {"a": {"$ne": 1}},
    {"a": {"$type": ["number", "null"]}},
    {"$or": [{"a": 1}, {"c": 1}]},
    {"c": 1},
    {"a": {"$lte": None}},
]
DOCUMENTS = [{"a": value, "c": 1} for value in (1, 2, None, "x", [], [1], [None], {}, 5)] + [{"c": 1}, {}, {"b": 1}]


@pytest.mark.parametrize("is_compound", [False, True])
async def test_the_index_serves_what_excludes_null_and_nothing_else(open_collection, is_compound):
    async with open_collection() as people:
        await people.insert_many(DOCUMENTS)
        expected = {
            str(filter_): [doc.data for doc in await people.find(filter_, sort="a").to_list()]
            for filter_ in SERVED + NOT_SERVED
        }
        await people.create_index(["a", "b"] if is_compound else "a", skip_null=True)
        for filter_ in SERVED + NOT_SERVED:
            explained = await people.find(filter_).explain()
            assert (explained.index is not None) is (filter_ in SERVED), filter_
            for sort in (None, "a", {"a": -1}):
                found = [doc.data for doc in await people.find(filter_, sort=sort).to_list()]
                assert sorted(map(str, found)) == sorted(map(str, expected[str(filter_)])), filter_
            assert await people.count_documents(filter_) == len(found)
        assert (await people.find(sort="a").explain()).index is None
        assert len(await people.distinct("a")) == 6


async def test_a_sort_alone_is_never_served_and_one_beside_a_filter_is(open_collection):
    async with open_collection() as people:
        await people.create_index("a", skip_null=True)
        await people.insert_many([{"a": 2}, {}, {"a": 1}, {"a": None}])
        assert [doc.data.get("a") for doc in await people.find(sort="a").to_list()] == [None, None, 1, 2]
        assert (await people.find({}, sort="a").explain()).index is None
        assert (await people.find({"a": {"$ne": None}}, sort="a").explain()).index == "a_1"
        assert [doc.data["a"] for doc in await people.find({"a": {"$ne": None}}, sort="a").to_list()] == [1, 2]


VALUES = st.recursive(
    st.sampled_from([None, 1, 2, "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(["a", "b", "a.b", "a.0", "a.b.a", "a.0.b"])
CONDITIONS = st.sampled_from(
    [
        *({"$ne": None}, {"$nin": [None, 1]}, {"$gt": 1}, {"$in": [1, "x"]}, {"$type": "array"}, {"$size": 0}, 1),
        *(None, {"$exists": True}, {"$elemMatch": {"b": {"$ne": None}}}, {"$elemMatch": {"b": 1}}, {"$ne": 1}),
    ]
)


@given(
    document=st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2),
    names=st.lists(NAMES, min_size=1, max_size=2, unique=True),
    filter_=st.dictionaries(NAMES, CONDITIONS, max_size=2),
    is_sorted=st.booleans(),
)
def test_an_index_that_is_used_lists_what_matches(document, names, filter_, is_sorted):
    fields = tuple(FieldOrder(tuple(name.split("."))) for name in names)
    definition = IndexDefinition(fields, skip_null=True)
    try:
        keys = keys_of(definition.encode())(1, document)
    except ValueError:  # arrays in two fields
        return
    node = parse_filter(filter_)
    multikey, shared = (any(key.startswith(mark) for key in keys) for mark in (MULTIKEY_MARK, SHARED_MARK))
    plan = make_plan(node, fields[:1] if is_sorted else (), [Index(1, "i", definition, multikey, shared)])
    if plan.lookups is not None and matches(node, document):
        ranges = [keys for lookup in plan.lookups for keys in lookup.ranges]
        assert any(one.first <= key < one.end for one in ranges for key in keys)
