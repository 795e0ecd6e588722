"""Writing with filters: what each call does and returns, outside and inside a transaction."""

import datetime
import enum
import uuid

import pytest

from poof import (
    DeleteResult,
    DuplicateKeyError,
    InvalidQueryError,
    ReturnDocument,
    UpdateError,
    UpdateResult,
)
from tests.support.people import data, values

pytestmark = pytest.mark.every_engine

NUMBERS = [{"n": n, "even": n % 2 == 0} for n in range(6)]
MANY = [{"n": n, "even": n % 2 == 0} for n in range(500)]


class Color(enum.Enum):
    RED = "red"


@pytest.fixture
def numbers(filled):
    """Opens a collection of the documents above, or others."""
    return lambda documents=NUMBERS: filled(documents)


@pytest.mark.parametrize(
    ("filter_", "update", "result", "expected"),
    [
        ({"even": True}, {"$inc": {"n": 10}}, (1, 1), [10, 1, 2, 3, 4, 5]),
        ({"n": {"$gt": 3}}, {"$set": {"n": "x"}}, (1, 1), [0, 1, 2, 3, "x", 5]),
        ({"n": 3}, {"$set": {"n": 3}}, (1, 0), [0, 1, 2, 3, 4, 5]),
        ({"n": 1}, {"$set": {"n": True}}, (1, 1), [0, True, 2, 3, 4, 5]),
        ({"n": 9}, {"$set": {"n": 3}}, (0, 0), [0, 1, 2, 3, 4, 5]),
        ({}, {"$unset": {"n": ""}}, (1, 1), [None, 1, 2, 3, 4, 5]),
    ],
)
async def test_update_one_updates_the_first(numbers, filter_, update, result, expected):
    async with numbers() as people:
        assert await people.update_one(filter_, update) == UpdateResult(*result)
        assert await values(people) == expected


@pytest.mark.parametrize(
    ("filter_", "update", "result", "expected"),
    [
        ({"even": True}, {"$inc": {"n": 10}}, (3, 3), [10, 1, 12, 3, 14, 5]),
        ({}, {"$max": {"n": 3}}, (6, 3), [3, 3, 3, 3, 4, 5]),
        ({"n": {"$in": [1, 5]}}, {"$mul": {"n": 2}}, (2, 2), [0, 2, 2, 3, 4, 10]),
        ({"n": 9}, {"$inc": {"n": 1}}, (0, 0), [0, 1, 2, 3, 4, 5]),
        ({"n": {"$gte": 2}}, {"$inc": {"n": 1}}, (4, 4), [0, 1, 3, 4, 5, 6]),
    ],
)
async def test_update_many_updates_each_once(numbers, filter_, update, result, expected):
    async with numbers() as people:
        assert await people.update_many(filter_, update) == UpdateResult(*result)
        assert await values(people) == expected


async def test_update_many_of_many_updates_each_once_though_they_still_fit(numbers):
    async with numbers(MANY) as people:
        await people.create_index("n")
        assert await people.update_many({"n": {"$gte": 0}}, {"$inc": {"n": 1}}) == UpdateResult(500, 500)
        assert await values(people) == [*range(1, 501)]
        assert await people.find({"n": {"$gt": 498}}).count() == 2


async def test_replace_one(numbers):
    async with numbers() as people:
        before = await people.find_all()
        assert await people.replace_one({"n": {"$gt": 1}}, {"other": 1}) == UpdateResult(1, 1)
        assert await people.replace_one({"other": 1}, {"other": 1}) == UpdateResult(1, 0)
        assert await people.replace_one({"n": 9}, {"other": 2}) == UpdateResult(0, 0)
        assert await data(people) == [*NUMBERS[:2], {"other": 1}, *NUMBERS[3:]]
        assert [document.objId for document in await people.find_all()] == [document.objId for document in before]


async def test_delete_one_and_delete_many(numbers):
    async with numbers() as people:
        assert await people.delete_one({"even": True}) == DeleteResult(1)
        assert await values(people) == [1, 2, 3, 4, 5]
        assert await people.delete_one({"n": 9}) == DeleteResult(0)
        assert await people.delete_many({"n": {"$gte": 4}}) == DeleteResult(2)
        assert await people.delete_many({"n": 9}) == DeleteResult(0)
        assert await values(people) == [1, 2, 3]
        assert await people.delete_many({}) == DeleteResult(3)
        assert await people.delete_many({}) == DeleteResult(0)


async def test_documents_are_found_by_their_ids(numbers):
    async with numbers() as people:
        ids = [document.objId for document in await people.find_all()]
        assert await people.update_one({"_objId": ids[2]}, {"$set": {"n": "two"}}) == UpdateResult(1, 1)
        assert await people.update_many({"_objId": {"$in": ids[:2]}}, {"$inc": {"n": 7}}) == UpdateResult(2, 2)
        assert await people.replace_one({"_objId": ids[3]}, {}) == UpdateResult(1, 1)
        assert await people.delete_one({"_objId": ids[4]}) == DeleteResult(1)
        assert await people.find_one_and_delete({"_objId": "nobody"}) is None
        assert await values(people) == [7, 8, "two", None, 5]


async def test_find_one_and_update_gives_the_document_before_or_after(numbers):
    async with numbers() as people:
        [_, one, *_] = await people.find_all()
        assert await people.find_one_and_update({"n": 1}, {"$set": {"n": "a"}}) == one
        after = await people.find_one_and_update({"n": "a"}, {"$set": {"n": "b"}}, return_document=ReturnDocument.AFTER)
        assert (after.objId, after.data) == (one.objId, {"n": "b", "even": False})
        same = await people.find_one_and_update({"n": "b"}, {"$set": {"n": "b"}}, return_document="after")
        assert same == after
        assert await people.find_one_and_update({"n": 9}, {"$set": {"n": 1}}, return_document="after") is None
        assert await values(people) == [0, "b", 2, 3, 4, 5]


async def test_find_one_and_replace_and_delete_give_the_document(numbers):
    async with numbers() as people:
        [_, one, two, *_] = await people.find_all()
        assert await people.find_one_and_replace({"n": 1}, {"x": 1}) == one
        after = await people.find_one_and_replace({"x": 1}, {"x": 2}, return_document="after")
        assert (after.objId, after.data) == (one.objId, {"x": 2})
        assert await people.find_one_and_delete({"n": 2}) == two
        assert await people.find_one_and_delete({"n": 2}) is None
        assert await values(people) == [0, None, 3, 4, 5]


async def test_find_one_and_takes_the_first_of_a_sort_and_gives_a_projection(numbers):
    async with numbers() as people:
        changed = await people.find_one_and_update({"even": True}, {"$inc": {"n": 10}}, ["n"], sort={"n": -1})
        assert changed.data == {"n": 4}
        changed = await people.find_one_and_replace(
            {}, {"x": 1, "y": 2}, {"y": 0}, sort=[("even", 1), ("n", -1)], return_document="after"
        )
        assert changed.data == {"x": 1}
        assert (await people.find_one_and_delete({}, {"even": 0}, sort={"n": -1})).data == {"n": 14}
        assert await values(people) == [0, 1, 2, 3, None]


@pytest.mark.parametrize(
    ("filter_", "update", "expected"),
    [
        ({"x": 1, "y.z": "a"}, {"$set": {"w": 2}}, {"x": 1, "y": {"z": "a"}, "w": 2}),
        ({"x": {"$gt": 5}}, {"$inc": {"x": 2}}, {"x": 2}),
        ({"x": 1}, {"$set": {"x": 3}, "$setOnInsert": {"new": True}}, {"x": 3, "new": True}),
        ({"x": Color.RED}, {"$push": {"tags": Color.RED}}, {"x": "red", "tags": ["red"]}),
    ],
)
@pytest.mark.parametrize("method", ["update_one", "update_many"])
async def test_an_upsert_inserts_what_the_filter_and_the_update_say(numbers, method, filter_, update, expected):
    async with numbers() as people:
        result = await getattr(people, method)(filter_, update, upsert=True)
        assert result == UpdateResult(0, 0, result.upserted_id)
        assert (await people.find_by_id(result.upserted_id)).data == expected
        assert await people.count_documents() == 7


async def test_an_upsert_that_finds_a_document_inserts_none(numbers):
    async with numbers() as people:
        update = {"$set": {"found": True}, "$setOnInsert": {"found_not": True}}
        assert await people.update_one({"n": 3}, update, upsert=True) == UpdateResult(1, 1)
        assert await people.update_many({"n": 3}, update, upsert=True) == UpdateResult(1, 0)
        assert await people.replace_one({"n": 3}, {"n": 3, "even": True}, upsert=True) == UpdateResult(1, 1)
        assert await data(people) == [*NUMBERS[:3], {"n": 3, "even": True}, *NUMBERS[4:]]


async def test_an_upsert_takes_the_id_of_the_filter(numbers):
    obj_id = "ABCDEFGHIJKL"
    async with numbers() as people:
        result = await people.update_one({"_objId": obj_id, "x": 1}, {"$set": {"y": 1}}, upsert=True)
        assert result == UpdateResult(0, 0, obj_id)
        assert (await people.find_by_id(obj_id)).data == {"x": 1, "y": 1}
        with pytest.raises(DuplicateKeyError, match="_objId"):
            await people.update_one({"_objId": obj_id, "x": 2}, {"$set": {"y": 2}}, upsert=True)
        with pytest.raises(InvalidQueryError, match="_objId"):
            await people.replace_one({"_objId": "short"}, {}, upsert=True)
        assert await people.replace_one(
            {"_objId": obj_id[::-1], "x": 1, "x.y": 1}, {"y": 3}, upsert=True
        ) == UpdateResult(0, 0, obj_id[::-1])
        assert await data(people) == [*NUMBERS, {"x": 1, "y": 1}, {"y": 3}]


async def test_find_one_and_upsert(numbers):
    async with numbers() as people:
        assert await people.find_one_and_update({"n": 7}, {"$set": {"x": 1}}, upsert=True) is None
        new = await people.find_one_and_update({"n": 8}, {"$set": {"x": 1}}, upsert=True, return_document="after")
        assert new == await people.find_one({"n": 8})
        assert await people.find_one_and_replace({"n": 9}, {"n": 10}, upsert=True) is None
        new = await people.find_one_and_replace({"n": 9}, {"n": 11}, ["n"], upsert=True, return_document="after")
        assert new == await people.find_one({"n": 11})
        assert await values(people) == [0, 1, 2, 3, 4, 5, 7, 8, 10, 11]


async def test_an_upsert_that_fails_inserts_nothing(numbers):
    async with numbers() as people:
        await people.create_index("n", unique=True)
        for filter_, update, error in [
            ({"n": 9, "x": 1, "x.y": 1}, {"$set": {"z": 1}}, InvalidQueryError),
            ({"x": "text"}, {"$inc": {"x": 1}}, UpdateError),
            ({"n": 5, "x": 1}, {"$set": {"z": 1}}, DuplicateKeyError),
        ]:
            for method in (people.update_one, people.update_many, people.find_one_and_update):
                with pytest.raises(error):
                    await method(filter_, update, upsert=True)
        assert await data(people) == NUMBERS


async def test_array_filters_and_positions(numbers):
    documents = [
        {"lines": [{"item": "a", "count": 1}, {"item": "b", "count": 5}]},
        {"lines": [{"item": "b", "count": 9}]},
    ]
    async with numbers(documents) as people:
        filters = [{"line.item": "b", "line.count": {"$gt": 4}}]
        update = {"$inc": {"lines.$[line].count": 10}}
        assert await people.update_many({}, update, array_filters=filters) == UpdateResult(2, 2)
        assert await people.update_one({"lines.item": "b"}, {"$set": {"lines.$.item": "c"}}) == UpdateResult(1, 1)
        first = await people.find_one_and_update(
            {}, update, array_filters=[{"line.item": "a"}], return_document="after"
        )
        assert first.data == {"lines": [{"item": "a", "count": 11}, {"item": "c", "count": 15}]}
        assert await people.update_many({}, {"$unset": {"lines.$[].count": 1}}) == UpdateResult(2, 2)
        assert await values(people, "lines") == [[{"item": "a"}, {"item": "c"}], [{"item": "b"}]]


async def test_rich_values_in_filters_and_updates(numbers):
    when = datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC)
    rich = {"when": when, "id": uuid.UUID(int=7), "color": Color.RED, "set": {"b", "a"}}
    async with numbers([{"n": 0}]) as people:
        assert await people.update_one({"n": 0}, {"$set": rich}) == UpdateResult(1, 1)
        assert await people.update_one(rich, {"$set": rich}) == UpdateResult(1, 0)
        assert await people.update_one({"color": {"$in": [Color.RED]}}, {"$addToSet": {"set": "c"}}) == UpdateResult(
            1, 1
        )
        [stored] = await data(people)
        assert stored == {
            "n": 0,
            "when": "2024-05-06T00:00:00.000000Z",
            "id": str(uuid.UUID(int=7)),
            "color": "red",
            "set": ["a", "b", "c"],
        }
        assert await people.delete_many({"when": {"$lte": when}}) == DeleteResult(1)


async def test_the_current_date_is_the_same_in_all_documents(numbers):
    async with numbers(MANY) as people:
        before = datetime.datetime.now(datetime.UTC)
        await people.update_many({}, {"$currentDate": {"at": True}})
        after = datetime.datetime.now(datetime.UTC)
        [at] = await people.distinct("at")
        assert before <= datetime.datetime.fromisoformat(at) <= after
