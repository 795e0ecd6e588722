"""Writing with filters: a call changes all it should or nothing, alone, in a transaction, and in one inside another."""

import pytest

from poof import (
    DocumentTooLargeError,
    DuplicateKeyError,
    InvalidDocumentError,
    UpdateError,
    UpdateResult,
)
from tests.support.people import data, values

pytestmark = pytest.mark.every_engine

NUMBERS = [{"n": n, "even": n % 2 == 0} for n in range(6)]
MANY = [{"n": n, "even": n % 2 == 0} for n in range(500)]


@pytest.fixture
def numbers(filled):
    """Opens a collection of the documents above, or others."""
    return lambda documents=NUMBERS: filled(documents)


FAILURES = {
    "an update that does not apply": ({"$inc": {"m": 1}}, UpdateError),
    "a unique index": ({"$set": {"u": "same"}}, DuplicateKeyError),
    "what JSON cannot hold": ({"$mul": {"n": 1e308}}, (InvalidDocumentError, UpdateError)),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("count", [6, 500])
async def test_an_update_many_that_fails_in_the_middle_changes_nothing(numbers, name, count):
    update, error = FAILURES[name]
    async with numbers([{"n": n + 10} if n > 3 else {"n": n} for n in range(count)]) as people:
        await people.create_index("m")
        await people.create_index("u", unique=True, where={"u": {"$exists": True}})
        await people.update_one({"n": count // 2}, {"$set": {"m": "text", "u": "same"}})
        before = await people.find_all()
        with pytest.raises(error):
            await people.update_many({}, update)
        with pytest.raises(error):
            await people.update_many({"n": {"$gt": 1}}, {**update, "$set": {"changed": True, **update.get("$set", {})}})
        assert await people.find_all() == before
        assert await people.count_documents({"m": 1}) == 0
        assert await people.count_documents({"u": "same"}) == 1
        assert await people.update_many({"m": None}, {"$set": {"m": 2}}) == UpdateResult(count - 1, count - 1)


async def test_an_update_one_that_fails_changes_nothing_and_the_next_works(numbers):
    async with numbers() as people:
        await people.create_index("n", unique=True)
        for update in ({"$inc": {"even": 1}}, {"$set": {"x": 1, "n.y": 2}}, {"$set": {"x": 1}, "$push": {"n": 1}}):
            with pytest.raises(UpdateError):
                await people.update_one({"n": 2}, update)
        with pytest.raises(DuplicateKeyError, match=r"'n_1' is unique.* the field 'n'"):
            await people.find_one_and_update({"n": 2}, {"$inc": {"n": 1}})
        with pytest.raises(DuplicateKeyError):
            await people.replace_one({"n": 2}, {"n": 5})
        assert await data(people) == NUMBERS
        assert await people.update_one({"n": 2}, {"$inc": {"n": 10}}) == UpdateResult(1, 1)


async def test_a_unique_index_is_looked_at_after_each_document(numbers):
    """As in MongoDB: a value may not stand twice even for the moment between two documents of one call."""
    async with numbers() as people:
        await people.create_index("n", unique=True)
        with pytest.raises(DuplicateKeyError):
            await people.update_many({}, {"$inc": {"n": 1}})
        assert await people.update_many({}, {"$mul": {"n": -1}}) == UpdateResult(6, 5)
        assert await values(people) == [0, -1, -2, -3, -4, -5]


@pytest.mark.parametrize("size", [20_000, 100_000, 3_000_000])
async def test_large_documents_are_changed_as_small_ones(numbers, size):
    text = "x" * size
    async with numbers() as people:
        assert await people.update_one({"n": 0}, {"$set": {"text": text}}) == UpdateResult(1, 1)
        assert await people.update_one({"n": 0}, {"$inc": {"n": 10}}) == UpdateResult(1, 1)
        assert (await people.find_one_and_update({"text": text}, {"$unset": {"text": 1}})).data["text"] == text
        assert await people.replace_one({"n": 1}, {"n": 1, "text": text}) == UpdateResult(1, 1)
        assert (await people.find_one_and_replace({"n": 1}, {"n": 11})).data == {"n": 1, "text": text}
        result = await people.update_one({"n": 12}, {"$set": {"text": text}}, upsert=True)
        assert (await people.find_one({"n": 12})).data == {"n": 12, "text": text}
        assert (await people.find_one_and_delete({"_objId": result.upserted_id})).data["text"] == text
        assert await values(people) == [10, 11, 2, 3, 4, 5]


async def test_an_update_that_makes_a_document_too_large_or_too_deep_is_refused(numbers):
    async with numbers() as people:
        with pytest.raises(DocumentTooLargeError):
            await people.update_one({"n": 1}, {"$set": {"text": "x" * (64 * 1024 * 1024)}})
        with pytest.raises(InvalidDocumentError, match="deeper"):
            await people.update_many({}, {"$set": {".".join("a" * 99): {"b": {}}}})
        assert await data(people) == NUMBERS


async def test_a_call_that_fails_in_a_transaction_leaves_what_was_done_before(cluster, people):
    await people.insert_many(NUMBERS)
    async with cluster.transaction():
        await people.update_many({}, {"$inc": {"n": 10}})
        await people.update_one({"n": 12}, {"$set": {"even": "text"}})
        with pytest.raises(UpdateError):
            await people.update_many({}, {"$inc": {"even": 1}})
        await people.delete_one({"n": 10})
    assert await values(people) == [11, 12, 13, 14, 15]


@pytest.mark.parametrize("count", [6, 500])
async def test_a_nested_transaction_that_fails_undoes_its_update_many_alone(cluster, people, count):
    await people.insert_many(MANY[:count])
    await people.create_index("n")
    async with cluster.transaction():
        await people.update_many({}, {"$inc": {"n": 1_000}})
        with pytest.raises(ZeroDivisionError):
            async with cluster.transaction():
                await people.update_many({}, {"$set": {"n": 0}})
                await people.delete_many({"even": True})
                await people.update_one({"x": 1}, {"$set": {"y": 1}}, upsert=True)
                raise ZeroDivisionError
        async with cluster.transaction():
            await people.update_many({"n": {"$lt": 1_003}}, {"$set": {"n": -1}})
    assert await values(people) == [-1, -1, -1, *range(1_003, 1_000 + count)]
    assert await people.count_documents({"n": {"$gte": 1_003}}) == count - 3


async def test_a_transaction_that_fails_undoes_every_kind_of_write(cluster, people):
    await people.insert_many(MANY)
    before = await people.find_all()
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            await people.update_many({}, {"$inc": {"n": 1}})
            await people.update_one({}, {"$set": {"text": "x" * 200_000}})
            await people.replace_one({"n": 2}, {})
            await people.find_one_and_delete({})
            await people.update_one({"x": 1}, {"$set": {"y": 1}}, upsert=True)
            await people.delete_many({"even": True})
            raise ZeroDivisionError
    assert await people.find_all() == before
