"""`bulk_write`: many writes in order, all of them or none."""

import asyncio

import pytest

from poof import (
    BulkWriteResult,
    DeleteMany,
    DeleteOne,
    DuplicateKeyError,
    InsertOne,
    InvalidDocumentError,
    InvalidQueryError,
    PoofCluster,
    ReplaceOne,
    UpdateMany,
    UpdateOne,
)
from tests.support.people import data

pytestmark = pytest.mark.every_engine

NUMBERS = [{"n": n} for n in range(4)]


@pytest.fixture
def numbers(filled):
    """Opens a collection of the documents above, or others."""
    return lambda documents=NUMBERS: filled(documents)


@pytest.mark.parametrize(
    ("requests", "counts", "expected"),
    [
        ([], {}, NUMBERS),
        ([UpdateOne({"n": 1}, {"$inc": {"n": 10}})], {"matched_count": 1, "modified_count": 1}, [0, 11, 2, 3]),
        ([UpdateOne({"n": 1}, {"$set": {"n": 1}})], {"matched_count": 1}, [0, 1, 2, 3]),
        ([UpdateMany({}, {"$max": {"n": 2}})], {"matched_count": 4, "modified_count": 2}, [2, 2, 2, 3]),
        ([ReplaceOne({"n": 2}, {"n": 20})], {"matched_count": 1, "modified_count": 1}, [0, 1, 20, 3]),
        ([DeleteOne({}), DeleteOne({"n": 9})], {"deleted_count": 1}, [1, 2, 3]),
        ([DeleteMany({"n": {"$gt": 0}}), DeleteMany({})], {"deleted_count": 4}, []),
        (
            [
                UpdateMany({}, {"$inc": {"n": 1}}),
                UpdateMany({"n": {"$gt": 2}}, {"$inc": {"n": 1}}),
                DeleteOne({"n": {"$gt": 3}}),
                ReplaceOne({"n": 5}, {"n": 0}),
            ],
            {"matched_count": 7, "modified_count": 7, "deleted_count": 1},
            [1, 2, 0],
        ),
    ],
)
async def test_requests_are_made_in_order_and_counted(numbers, requests, counts, expected):
    async with numbers() as people:
        result = await people.bulk_write(requests)
        assert result == BulkWriteResult(**{"inserted_ids": [], **counts})
        assert await data(people) == [{"n": each} if isinstance(each, int) else each for each in expected]


async def test_inserts_and_upserts_give_their_ids(numbers):
    async with numbers() as people:
        result = await people.bulk_write(
            [
                InsertOne({"n": "a"}),
                UpdateOne({"n": "b"}, {"$set": {"x": 1}}, upsert=True),
                UpdateOne({"n": 0}, {"$set": {"x": 2}}, upsert=True),
                InsertOne({"n": "c"}),
                ReplaceOne({"n": "d"}, {"n": "e"}, upsert=True),
                UpdateMany({"n": {"$in": ["f"]}}, {"$set": {"x": 3}}, upsert=True),
            ]
        )
        documents = await people.find_all()
        assert [document.data for document in documents] == [
            {"n": 0, "x": 2},
            *NUMBERS[1:],
            {"n": "a"},
            {"n": "b", "x": 1},
            {"n": "c"},
            {"n": "e"},
            {"n": "f", "x": 3},
        ]
        ids = [document.objId for document in documents[4:]]
        assert result.inserted_ids == [ids[0], ids[2]]
        assert result.upserted_ids == {1: ids[1], 4: ids[3], 5: ids[4]}
        assert (result.inserted_count, result.upserted_count) == (2, 3)
        assert (result.matched_count, result.modified_count, result.deleted_count) == (1, 1, 0)


async def test_a_request_sees_what_those_before_it_did(numbers):
    async with numbers() as people:
        await people.bulk_write(
            [InsertOne({"n": 9}), *(UpdateOne({"n": 9 + n}, {"$inc": {"n": 1}}) for n in range(200))]
        )
        assert await data(people) == [*NUMBERS, {"n": 209}]


async def test_array_filters(numbers):
    async with numbers() as people:
        lines = {"lines": [{"n": 1}, {"n": 5}]}
        update = {"$set": {"lines.$[line].n": 0}}
        await people.bulk_write(
            [
                InsertOne(lines),
                InsertOne(lines),
                UpdateOne({"lines.n": 1}, update, array_filters=[{"line.n": 1}]),
                UpdateMany({"lines": {"$exists": True}}, update, array_filters=[{"line.n": 5}]),
            ]
        )
        assert (await data(people))[4:] == [{"lines": [{"n": 0}, {"n": 0}]}, {"lines": [{"n": 1}, {"n": 0}]}]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (InsertOne({"u": 0}), DuplicateKeyError),
        (InsertOne({"x": float("nan")}), InvalidDocumentError),
        (InsertOne(None), InvalidDocumentError),
        (UpdateOne({"$where": 1}, {"$set": {"x": 1}}), InvalidQueryError),
        (UpdateMany({}, {"$set": {"u": 5}}), DuplicateKeyError),
        (UpdateMany({}, {"x": 1}), InvalidQueryError),
        (ReplaceOne({}, {"$set": {"x": 1}}), InvalidDocumentError),
        (DeleteMany(None), InvalidQueryError),
    ],
    ids=repr,
)
@pytest.mark.parametrize("count", [1, 100])
async def test_a_request_that_fails_undoes_all_of_them(numbers, request_, error, count):
    async with numbers() as people:
        await people.create_index("u", unique=True, where={"u": {"$exists": True}})
        await people.update_one({"n": 3}, {"$set": {"u": 0}})
        before = await people.find_all()
        requests = [
            UpdateMany({}, {"$inc": {"n": 10}}),
            *(InsertOne({"n": n}) for n in range(count)),
            UpdateOne({"x": 1}, {"$set": {"y": 1}}, upsert=True),
            DeleteMany({"n": {"$lt": 11}}),
            request_,
            InsertOne({"n": "never"}),
        ]
        with pytest.raises(error):
            await people.bulk_write(requests)
        assert await people.find_all() == before
        await people.bulk_write(requests[:-2])
        assert await people.count_documents({"n": {"$gte": 11}}) == 3 + max(0, count - 11)


async def test_a_bulk_write_that_fails_in_a_transaction_leaves_what_was_done_before(cluster, people):
    async with cluster.transaction():
        await people.insert({"n": 1})
        with pytest.raises(InvalidQueryError):
            await people.bulk_write([InsertOne({"n": 2}), UpdateOne({}, {})])
        await people.bulk_write([InsertOne({"n": 3})])
    assert await data(people) == [{"n": 1}, {"n": 3}]


async def test_requests_come_from_any_iterable(numbers):
    async with numbers() as people:
        result = await people.bulk_write(InsertOne({"n": n}) for n in range(4, 9))
        assert result.inserted_count == 5
        assert await data(people) == [{"n": n} for n in range(9)]


async def test_other_tasks_see_all_of_it_or_nothing(path):
    async with await PoofCluster.create(path) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert_many(NUMBERS)
        requests = [UpdateOne({"n": {"$lt": 100}}, {"$inc": {"n": 100}}) for _ in range(4)] * 30
        task = asyncio.create_task(people.bulk_write(requests))
        seen = set()
        while not task.done():
            seen.add(await people.count_documents({"n": {"$gte": 100}}))
            await asyncio.sleep(0)
        assert seen <= {0, 4}
        assert (await task).modified_count == 4


@pytest.mark.parametrize("turns", [*range(8), 20, 60])
async def test_one_that_is_cancelled_is_made_or_not(people, turns):
    await people.insert_many(NUMBERS)
    task = asyncio.create_task(people.bulk_write([InsertOne({"n": n}) for n in range(300)]))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert await people.count_documents() in ({4, 304} if task.cancelled() else {304})
    await people.bulk_write([DeleteMany({})])
