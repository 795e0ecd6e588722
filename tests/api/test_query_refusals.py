"""Calls that are refused: wrong arguments before anything is read, read-only clusters, closed ones."""

import asyncio
import contextlib

import pytest
from pydantic import BaseModel

from poof import (
    ClosedError,
    DeleteMany,
    DeleteOne,
    InsertOne,
    InvalidDocumentError,
    InvalidNameError,
    InvalidQueryError,
    NoModelError,
    PoofCluster,
    ReadOnlyError,
    ReplaceOne,
    TransactionError,
    UpdateMany,
    UpdateOne,
)

pytestmark = pytest.mark.every_engine

SET = {"$set": {"n": 1}}


class Number(BaseModel):
    n: int


async def stream(cursor):
    return [document async for document in cursor]


READS = {
    "find": lambda people, filter_={}: people.find(filter_).to_list(),
    "a loop": lambda people, filter_={}: stream(people.find(filter_)),
    "first": lambda people, filter_={}: people.find(filter_).first(),
    "count": lambda people, filter_={}: people.find(filter_).count(),
    "explain": lambda people, filter_={}: people.find(filter_).explain(),
    "find_one": lambda people, filter_={}: people.find_one(filter_),
    "exists": lambda people, filter_={}: people.exists(filter_),
    "count_documents": lambda people, filter_={}: people.count_documents(filter_),
    "distinct": lambda people, filter_={}: people.distinct("n", filter_),
}
WRITES = {
    "update_one": lambda people, filter_={}: people.update_one(filter_, SET),
    "update_many": lambda people, filter_={}: people.update_many(filter_, SET),
    "upsert": lambda people, filter_={}: people.update_one(filter_, SET, upsert=True),
    "replace_one": lambda people, filter_={}: people.replace_one(filter_, {"n": 1}),
    "delete_one": lambda people, filter_={}: people.delete_one(filter_),
    "delete_many": lambda people, filter_={}: people.delete_many(filter_),
    "find_one_and_update": lambda people, filter_={}: people.find_one_and_update(filter_, SET),
    "find_one_and_replace": lambda people, filter_={}: people.find_one_and_replace(filter_, {"n": 1}),
    "find_one_and_delete": lambda people, filter_={}: people.find_one_and_delete(filter_),
}
BULKS = {
    "InsertOne": lambda people: people.bulk_write([InsertOne({})]),
    "UpdateOne": lambda people, filter_={}: people.bulk_write([UpdateOne(filter_, SET)]),
    "UpdateMany": lambda people, filter_={}: people.bulk_write([UpdateMany(filter_, SET)]),
    "ReplaceOne": lambda people, filter_={}: people.bulk_write([ReplaceOne(filter_, {"n": 1})]),
    "DeleteOne": lambda people, filter_={}: people.bulk_write([DeleteOne(filter_)]),
    "DeleteMany": lambda people, filter_={}: people.bulk_write([DeleteMany(filter_)]),
}
OTHER_WRITES = {
    "insert": lambda people: people.insert({"n": 1}),
    "insert_many": lambda people: people.insert_many([{"n": 1}]),
    "create_index": lambda people: people.create_index("n"),
    "drop_index": lambda people: people.drop_index("n_1"),
    "migrate": lambda people: people.migrate(lambda data: data),
    "drop": lambda people: people.drop(),
    "rename": lambda people: people.rename("other"),
}
OTHER_READS = {
    "find_all": lambda people: people.find_all(),
    "estimated_document_count": lambda people: people.estimated_document_count(),
    "list_indexes": lambda people: people.list_indexes(),
}


async def on_closed(function):
    """Runs a coroutine function on a collection of a closed cluster, where nothing can be read."""
    async with await PoofCluster.create(":memory:") as cluster:
        database = await cluster.get_database("db")
        people = await database.get_collection("people")
    await function(people, database, cluster)


@pytest.mark.parametrize(
    "filter_", [7, "n", [], [("n", 1)], {"n": {"$near": 1}}, {"$where": 1}, {5: 1}, {"$or": []}], ids=repr
)
@pytest.mark.parametrize("name", [*READS, *WRITES])
async def test_a_wrong_filter_is_refused_before_anything_is_read(name, filter_):
    async def call(people, _database, _cluster):
        with pytest.raises(InvalidQueryError):
            await {**READS, **WRITES}[name](people, filter_)

    await on_closed(call)


@pytest.mark.parametrize("name", WRITES)
async def test_a_filter_of_none_does_not_mean_that_everything_is_to_be_changed(people, name):
    await people.insert_many([{"n": 5}, {"n": 6}])
    before = await people.find_all()
    with pytest.raises(InvalidQueryError, match="for every document"):
        await WRITES[name](people, None)
    with pytest.raises(InvalidQueryError, match="for every document"):
        await people.bulk_write([UpdateOne({}, SET), DeleteMany(None)])
    assert await people.find_all() == before


WRONG = {
    "an operator that is not known": lambda people: people.update_one({}, {"$sett": {"n": 1}}),
    "no operator": lambda people: people.update_many({}, {"n": 1}),
    "an empty update": lambda people: people.update_one({}, {}),
    "an update that is none": lambda people: people.update_one({}, None),
    "a pipeline": lambda people: people.update_one({}, [{"$set": {"n": 1}}]),
    "a path twice": lambda people: people.update_one({}, {"$set": {"n": 1}, "$inc": {"n": 1}}),
    "the id": lambda people: people.update_one({}, {"$set": {"_objId": "x"}}),
    "bytes": lambda people: people.update_one({}, {"$set": {"n": b"x"}}),
    "no array filter": lambda people: people.update_one({}, {"$set": {"n.$[x]": 1}}),
    "an array filter without use": lambda people: people.update_one({}, SET, array_filters=[{"x": 1}]),
    "array filters that are no list": lambda people: people.update_one({}, SET, array_filters={"x": 1}),
    "return_document": lambda people: people.find_one_and_update({}, SET, return_document="AFTER"),
    "return_document as PyMongo's": lambda people: people.find_one_and_replace({}, {}, return_document=True),
    "a sort": lambda people: people.find_one_and_delete({}, sort={"n": 2}),
    "an empty sort": lambda people: people.find_one({}, sort=[]),
    "a direction": lambda people: people.find().sort("n", True).to_list(),
    "a field twice": lambda people: people.find().sort(["n", "n"]).to_list(),
    "a projection": lambda people: people.find({}, {"a": 1, "b": 0}).to_list(),
    "a projection as text": lambda people: people.find({}, "name").to_list(),
    "a projection of a change": lambda people: people.find_one_and_update({}, SET, {"_objId": 2}),
    "a negative skip": lambda people: people.find().skip(-1).to_list(),
    "a negative limit": lambda people: people.find().limit(-1).to_list(),
    "half a limit": lambda people: people.find().limit(0.5).to_list(),
    "a limit of true": lambda people: people.find().limit(True).to_list(),
    "a negative length": lambda people: people.find().to_list(-1),
    "a length as text": lambda people: people.find().to_list("5"),
    "a field that is none": lambda people: people.distinct(None),
    "an empty step": lambda people: people.distinct("a..b"),
    "no request": lambda people: people.bulk_write([InsertOne({}), {"insert": 1}]),
    "a class": lambda people: people.bulk_write([InsertOne]),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_argument_is_refused_before_anything_is_read(name):
    async def call(people, _database, _cluster):
        with pytest.raises(InvalidQueryError):
            await WRONG[name](people)

    await on_closed(call)


@pytest.mark.parametrize("data", [7, [], None, "text", {"n": float("nan")}, {"n": b"x"}, {5: 1}, SET], ids=repr)
async def test_a_replacement_that_is_no_document_is_refused_before_anything_is_read(data):
    async def call(people, _database, _cluster):
        with pytest.raises(InvalidDocumentError):
            await people.replace_one({}, data)
        with pytest.raises(InvalidDocumentError):
            await people.find_one_and_replace({}, data)

    await on_closed(call)


ALL = {**READS, **WRITES, **BULKS, **OTHER_WRITES, **OTHER_READS}


async def test_every_call_on_a_closed_cluster_says_so():
    async def calls(people, database, cluster):
        for call in (
            *(lambda call=call: call(people) for call in ALL.values()),
            lambda: database.list_collection_names(),
            lambda: database.drop_collection("people"),
            lambda: database.rename_collection("people", "other"),
            lambda: cluster.list_database_names(),
            lambda: cluster.drop_database("db"),
        ):
            with pytest.raises(ClosedError):
                await call()

    await on_closed(calls)


async def test_validate_all_needs_a_model(open_collection):
    async with open_collection() as people:
        with pytest.raises(NoModelError, match="bound to no model"):
            await people.validate_all()


@pytest.fixture
def open_read_only(path, key):
    """Opens a cluster that is read-only, in which nothing changes."""

    @contextlib.asynccontextmanager
    async def opened(model=None):
        async with await PoofCluster.create(path, key) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            await people.insert_many([{"n": n} for n in range(100)])
            await people.create_index("n")
        before = path.read_bytes()
        async with await PoofCluster.create(path, key, read_only=True) as cluster:
            database = await cluster.get_database("db")
            yield cluster, database, await database.get_collection("people", model)
        assert path.read_bytes() == before

    return opened


async def test_a_read_only_cluster_refuses_every_write(open_read_only):
    async with open_read_only() as (cluster, database, people):
        for call in {**WRITES, **BULKS, **OTHER_WRITES}.values():
            with pytest.raises(ReadOnlyError):
                await call(people)
        with pytest.raises(ReadOnlyError):
            await people.delete_many({"n": "nothing to delete"})
        with pytest.raises(ReadOnlyError):
            await database.drop_collection("people")
        with pytest.raises(ReadOnlyError):
            await database.rename_collection("people", "other")
        with pytest.raises(ReadOnlyError):
            await cluster.drop_database("db")
        with pytest.raises(ReadOnlyError):
            await database.get_collection("new")


async def test_a_read_only_cluster_answers_every_read(open_read_only):
    async with open_read_only(Number) as (cluster, database, people):
        for call in {**READS, **OTHER_READS}.values():
            await call(people)
        assert [document.data["n"] async for document in people.find({"n": {"$gte": 3}})] == [*range(3, 100)]
        assert "n_1" in str(await people.find({"n": 5}).explain())
        assert await database.list_collection_names() == ["people"]
        assert await cluster.list_database_names() == ["db"]
        assert await people.validate_all() == []


@pytest.mark.parametrize("name", ["", "x" * 256, None, 7, "\ud800"], ids=repr)
async def test_a_collection_is_not_renamed_to_what_is_no_name(cluster, people, name):
    database = await cluster.get_database("db")
    with pytest.raises(InvalidNameError):
        await people.rename(name)
    with pytest.raises(InvalidNameError):
        await database.rename_collection("people", name)
    assert await database.list_collection_names() == ["people"]


async def test_a_call_of_a_task_that_began_inside_another_s_transaction_is_refused(cluster, people):
    async with cluster.transaction():
        for call in ALL.values():
            with pytest.raises(TransactionError, match="not part of it"):
                await asyncio.create_task(call(people))
