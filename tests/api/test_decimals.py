"""Decimal fields of a model are numbers: in sorts, comparisons, updates and indexes, though they are stored as text."""

import itertools
from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from poof import DuplicateKeyError, Indexed, InvalidQueryError, PoofCluster, UpdateError
from poof.query.fields import FieldOrder
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.indexes.definition import IndexDefinition, decode_definition, keys_of
from poof.query.indexes.plan import Index, make_plan
from poof.query.known import fields_of_kinds
from poof.query.order import encode_decimal_key
from tests.support.people import KEY, open_cluster

pytestmark = pytest.mark.every_engine

PRICES = ["10", "9.5", "100", "-3", "-20", "0.10", "1E+3", "9.50"]


class Item(BaseModel):
    price: Decimal
    name: str = ""
    parts: list[Decimal] = []


class Unique(BaseModel):
    price: Annotated[Decimal, Indexed(unique=True)]


async def opened(cluster, model=Item, name="items"):
    database = await cluster.get_database("db")
    return await database.get_collection(name, model), await database.get_collection(name)


def prices(documents):
    return [doc.data["price"] for doc in documents]


@given(st.lists(st.decimals(allow_nan=False), min_size=2, max_size=2))
def test_keys_sort_as_decimals_do(numbers):
    one, other = numbers
    keys = [encode_decimal_key(str(number)) for number in numbers]
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (one < other, one == other)
    assert keys[0] == keys[1] or not keys[0].startswith(keys[1])


@pytest.mark.parametrize("index", [None, "price", [("price", -1), ("name", 1)]])
async def test_decimals_sort_as_numbers(index, in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, plain = await opened(cluster)
        if index is not None:
            await items.create_index(index)
        await items.insert_many({"price": price} for price in PRICES)
        await plain.insert_many([{"price": 50}, {"price": 9.75}, {"price": "free"}, {"price": None}])
        expected = [None, "-20", "-3", "0.10", "9.5", "9.50", 9.75, "10", 50, "100", "1E+3", "free"]
        assert prices(await items.find(sort="price").to_list()) == expected
        turned = prices(await items.find(sort={"price": -1}).to_list())
        assert turned[:6] == expected[:-7:-1]
        assert set(turned[6:8]) == {"9.5", "9.50"}
        assert prices(await items.find({"price": {"$gte": 9.75}}, sort="price", limit=2).to_list()) == [9.75, "10"]
        assert len(await items.distinct("price")) == len(expected) - 1
        assert await items.distinct("price", {"price": {"$lt": 1}}) == ["-20", "-3", "0.10"]
        # The same by a handle that knows of no type: text is text.
        texts = [price for price in prices(await plain.find(sort="price").to_list()) if isinstance(price, str)]
        assert texts == sorted([*PRICES, "free"])
        assert await plain.count_documents({"price": "9.5"}) == 1
        assert await plain.count_documents({"price": {"$gt": "9"}}) == 3
        assert await plain.count_documents({"price": {"$gt": 9}}) == 2
        assert await plain.count_documents({"price": {"$gt": Decimal(9)}}) == 7
        assert len(await plain.distinct("price")) == len(expected)


@pytest.mark.own_engine
async def test_both_handles_use_the_index_of_decimals(in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, plain = await opened(cluster)
        assert await items.create_index("price") == "price_1"
        assert await items.create_index("price") == "price_1"
        with pytest.raises(InvalidQueryError, match="another index 'price_1'"):
            await plain.create_index("price")
        await items.insert_many({"price": price} for price in PRICES)
        for handle, operand, found, examined in [
            (items, 9.5, 2, 2),
            (items, {"$in": ["10.0", 100]}, 2, 2),
            (items, {"$gt": 50}, 2, 2),
            (plain, "9.5", 1, 2),
            (plain, Decimal("9.500"), 2, 2),
            (plain, {"$in": ["10", "100.0"]}, 1, 2),
            (plain, 10, 0, 1),
            (plain, None, 0, 0),
        ]:
            explained = await handle.find({"price": operand}).explain()
            assert explained.index == "price_1"
            assert (explained.returned, explained.documents_examined) == (found, examined)
            assert len(await handle.find({"price": operand}).to_list()) == found
            assert await handle.count_documents({"price": operand}) == found
        for operand in ({"$gt": "5"}, {"$gt": 5}, 2**60, {"$in": [2**60, 1]}):
            assert (await plain.find({"price": operand}).explain()).index is None
        assert (await items.find(sort="price").explain()).index == "price_1"
        assert (await plain.find(sort="price").explain()).index is None
        assert (await cluster.verify()).problems == []


@pytest.mark.own_engine
async def test_an_index_without_the_type_serves_no_decimals_and_hides_none(in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, plain = await opened(cluster)
        await plain.create_index("price")
        await items.insert_many({"price": price} for price in PRICES)
        for filter_, found in [
            ({"price": 9.5}, 2),
            ({"price": {"$gt": 9}}, 5),
            ({"price": {"$in": [10, None]}}, 1),
        ]:
            assert await items.count_documents(filter_) == found
            assert (await items.find(filter_).explain()).index is None
        assert prices(await items.find(sort="price", limit=2).to_list()) == ["-20", "-3"]
        assert len(await items.distinct("price")) == 7
        assert (await items.find({"price": None}).explain()).index == "price_1"


async def test_one_value_is_unique_however_it_is_written(in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, plain = await opened(cluster, Unique)
        await items.insert({"price": "1.0"})
        for price in ("1.00", 1, "10e-1"):
            with pytest.raises(DuplicateKeyError):
                await items.insert({"price": price})
            with pytest.raises(DuplicateKeyError):
                await plain.insert({"price": price})
        await items.insert({"price": "1.01"})
        assert await items.create_index("price", unique=True) == "price_1"
    assert (
        decode_definition(IndexDefinition((FieldOrder(("a",), True, "decimal"),)).encode()).fields[0].kind == "decimal"
    )


async def test_an_index_of_decimals_outlives_its_collection_object(path):
    async with await PoofCluster.create(path, KEY) as cluster:
        items, _ = await opened(cluster, Unique)
        await items.insert_many([{"price": "1.0"}, {"price": "20"}])
    async with await PoofCluster.create(path, KEY) as again:
        items, plain = await opened(again, Unique)
        with pytest.raises(DuplicateKeyError):
            await plain.insert({"price": "20.0"})
        assert (await items.find(sort="price").explain()).index == "price_1"


@pytest.mark.parametrize(
    ("update", "price"),
    [
        ({"$inc": {"price": Decimal("0.10")}}, "10.10"),
        ({"$inc": {"price": 1}}, "11.00"),
        ({"$inc": {"price": 0.1}}, "10.10"),
        ({"$inc": {"price": "0.001"}}, "10.001"),
        ({"$inc": {"price": Decimal("1e-40")}}, f"10.{'0' * 39}1"),
        ({"$mul": {"price": "1.1"}}, "11.000"),
        ({"$mul": {"price": 2}}, "20.00"),
        ({"$min": {"price": 9}}, "9"),
        ({"$min": {"price": "100"}}, "10.00"),
        ({"$max": {"price": Decimal("9.5")}}, "10.00"),
        ({"$max": {"price": 10}}, "10.00"),
        ({"$max": {"price": 200.5}}, "200.5"),
        ({"$inc": {"parts.0": 1}}, "10.00"),
        ({"$push": {"parts": {"$each": [5], "$sort": 1, "$slice": 1}}}, "10.00"),
        ({"$setOnInsert": {"price": 1}}, "10.00"),
    ],
)
async def test_updates_compute_with_decimals(update, price, in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, _ = await opened(cluster)
        await items.insert({"price": "10.00", "parts": ["30", "5"]})
        await items.update_one({}, update)
        data = (await items.find_one()).data
        assert data["price"] == price
        assert data["parts"] == (
            ["5"] if "$push" in update else ["31", "5"] if "parts.0" in str(update) else ["30", "5"]
        )


async def test_updates_start_from_nothing_and_from_numbers(in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, plain = await opened(cluster)
        await plain.insert_many([{"price": 5, "name": "int"}, {"price": 0.5, "name": "float"}, {"name": "none"}])
        await items.update_many({}, {"$inc": {"price": "0.10"}})
        assert prices(await items.find_all()) == ["5.10", "0.60", "0.10"]
        await items.update_one({"name": "new"}, {"$mul": {"price": 5}}, upsert=True)
        await items.update_one({"price": 7, "name": "seven"}, {"$max": {"price": 7.5}}, upsert=True)
        assert prices(await items.find({"name": {"$in": ["new", "seven"]}}).to_list()) == ["0", "7.5"]


async def test_what_cannot_be_computed_is_refused_and_changes_nothing(in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, plain = await opened(cluster)
        await items.insert({"price": "1.5"})
        with pytest.raises(UpdateError, match="more than 1,000 digits"):
            await items.update_one({}, {"$inc": {"price": Decimal("1e2000")}})
        with pytest.raises(InvalidQueryError, match="takes a number, not str"):
            await items.update_one({}, {"$inc": {"price": "much"}})
        with pytest.raises(InvalidQueryError, match="takes a number, not Decimal"):
            await plain.update_one({}, {"$inc": {"price": Decimal(1)}})
        await plain.update_one({}, {"$set": {"price": "much"}})
        with pytest.raises(UpdateError, match="takes a number, and the document holds text there"):
            await items.update_one({}, {"$inc": {"price": 1}})
        assert await plain.distinct("price") == ["much"]


@pytest.mark.own_engine
async def test_a_partial_index_reads_its_filter_by_the_types(in_memory):
    async with await open_cluster(in_memory) as cluster:
        items, plain = await opened(cluster)
        await items.create_index("name", where={"price": {"$gte": 9.75}, "parts": {"$elemMatch": {"$lt": 5}}})
        await plain.create_index("name", where={"price": {"$gt": Decimal("9.5")}}, name="plain")
        await items.insert_many({"price": price, "parts": ["4.5"], "name": "x"} for price in PRICES)
        needed = {"price": {"$gte": 9.75}, "parts": {"$elemMatch": {"$lt": 5}}}
        explained = await items.find({"name": "x", **needed}).explain()
        assert (explained.index, explained.documents_examined, explained.returned) == ("name_1", 3, 3)
        explained = await plain.find({"name": "x", "price": {"$gt": Decimal("9.5")}}).explain()
        assert (explained.index, explained.returned) == ("plain", 3)
        with pytest.raises(InvalidQueryError, match="compares a field with a value of another type"):
            await plain.create_index("name", where={"price": {"$in": [Decimal("9.5"), "10"]}}, name="no")
        assert (await cluster.verify()).problems == []


SOME = st.sampled_from(
    [
        "1",
        "1.0",
        "-2",
        "-2.50",
        "1e2",
        "x",
        "",
        "A",
        "Infinity",
        1,
        -2,
        0.5,
        -2.5,
        2**53 + 1,
        2.0**60,
        2**60,
        None,
        True,
    ]
)
VALUES = SOME | st.lists(SOME, max_size=2) | st.fixed_dictionaries({"c": SOME})
OPERANDS = SOME | st.decimals(-3, 3, places=1) | st.just(Decimal("1E+2")) | st.just({"c": "1"})
CONDITIONS = st.one_of(
    st.builds(
        lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), OPERANDS
    ),
    st.builds(lambda values: {"$in": values}, st.lists(OPERANDS, max_size=3)),
    st.builds(lambda value: {"$elemMatch": {"$lt": value}}, OPERANDS),
)


@given(
    documents=st.lists(st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES}), max_size=4),
    filter_=st.fixed_dictionaries({}, optional={"a": CONDITIONS, "b": CONDITIONS}),
    index=st.sampled_from(list(itertools.product(["decimal", None], repeat=2))),
    asks=st.sampled_from(list(itertools.product([True, False], repeat=2))),
    skip_null=st.booleans(),
    descending=st.booleans(),
)
def test_whatever_knows_the_types_the_index_lists_what_matches(documents, filter_, index, asks, skip_null, descending):
    fields = tuple(FieldOrder((name,), descending, kind) for name, kind in zip("ab", index, strict=True))
    known = fields_of_kinds([((name,), "decimal") for name, asked in zip("ab", asks, strict=True) if asked])
    node = parse_filter(filter_, known)
    definition = IndexDefinition(fields, skip_null=skip_null)
    keys = keys_of(definition.encode())
    listed, multikey = [], False
    for number, document in enumerate(documents):
        if any(isinstance(document.get(name), list) for name in "a") and isinstance(document.get("b"), list):
            continue  # which no index lists
        found = keys(number, document)
        multikey = multikey or any(key.startswith(b"\xff") for key in found)
        listed.append((document, found))
    plan = make_plan(node, (), [Index(1, "i", definition, multikey)])
    for document, found in listed:
        is_candidate = plan.lookups is None or any(
            keys.first <= key < keys.end for lookup in plan.lookups for keys in lookup.ranges for key in found
        )
        assert is_candidate or not matches(node, document)
        if is_candidate and plan.rest is not None:
            assert matches(plan.rest, document) == matches(node, document)
