"""Documents and models that drift apart: what says so, what is still readable, and how a collection is brought up."""

import asyncio
import contextlib

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poof import DuplicateKeyError, InvalidDocumentError, UpdateResult
from tests.support.people import collection, open_cluster

pytestmark = pytest.mark.every_engine

SENTINEL = "sentinel-5f1c"
OLD = [
    {"name": "Alice", "age": 25},
    {"name": SENTINEL, "age": SENTINEL},
    {"fullname": SENTINEL},
    {"name": "Dave", "age": "41", "more": [1]},
]


class User(BaseModel):
    name: str
    age: int = 0


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    first_name: str = Field(alias="name")
    age: int


@pytest.fixture(params=[False, True], ids=["outside", "inside"])
def drifted_collection(request, where):
    """Opens a bound collection of old documents, outside and inside a transaction."""

    @contextlib.asynccontextmanager
    async def opened(model=User, documents=OLD):
        async with await open_cluster(where) as cluster:
            unbound = await collection(cluster, "people")
            await unbound.insert_many(documents)
            people = await (await cluster.get_database("db")).get_collection("people", model)
            async with cluster.transaction() if request.param else contextlib.nullcontext():
                yield people, unbound

    return opened


async def data(people):
    return [document.data for document in await people.find_all()]


async def ways_to_read(people, obj_id):
    """A document as every call gives it."""
    yield await people.find_by_id(obj_id)
    yield await people.find_one({"_objId": obj_id})
    yield next(document for document in await people.find_all() if document.objId == obj_id)
    for document in await people.find({"_objId": obj_id}).to_list():
        yield document
    async for document in people.find():
        if document.objId == obj_id:
            yield document


async def test_a_document_that_does_not_fit_says_collection_and_id_and_is_readable_all_the_same(drifted_collection):
    async with drifted_collection() as (people, _unbound):
        misfit = (await people.find_all())[1]
        count = 0
        async for document in ways_to_read(people, misfit.objId):
            count += 1
            assert document.data == OLD[1]
            with pytest.raises(ValidationError) as caught:
                document.model  # noqa: B018 - reading it is the test
            text = str(caught.value)
            assert "'people'" in text
            assert misfit.objId in text
            assert "age" in text
            assert SENTINEL not in text
        assert count == 5


async def test_the_error_names_the_collection_as_it_is_called_now(drifted_collection):
    async with drifted_collection() as (people, _unbound):
        await people.rename("persons")
        with pytest.raises(ValidationError, match="'persons'"):
            (await people.find_one({"fullname": {"$exists": True}})).model  # noqa: B018 - as above
        [misfit, *_] = await people.validate_all()
        assert "'persons'" in str(misfit.error)


async def test_the_document_is_readable_without_the_model(drifted_collection):
    async with drifted_collection() as (_people, unbound):
        assert await data(unbound) == OLD
        assert (await unbound.find_one({"fullname": SENTINEL})).data == OLD[2]


async def test_documents_that_do_not_fit_are_found_counted_and_deleted_as_others(drifted_collection):
    async with drifted_collection() as (people, _unbound):
        assert await people.count_documents({"age": {"$type": "string"}}) == 2
        assert (await people.find_one_and_delete({"fullname": {"$exists": True}})).data == OLD[2]
        assert (await people.delete_many({"name": SENTINEL})).deleted_count == 1
        assert await people.validate_all() == []


async def test_validate_all_lists_the_misfits(drifted_collection):
    async with drifted_collection() as (people, _unbound):
        documents = await people.find_all()
        misfits = await people.validate_all()
        assert [misfit.objId for misfit in misfits] == [documents[1].objId, documents[2].objId]
        for misfit in misfits:
            assert isinstance(misfit.error, ValidationError)
            assert misfit.objId in str(misfit.error)
            assert SENTINEL not in str(misfit.error)
        assert [error["loc"] for error in misfits[1].error.errors()] == [("name",)]
        assert await data(people) == OLD


async def test_validate_all_looks_at_every_document_as_it_is_stored(drifted_collection):
    documents = [{"name": f"{n}", "age": n} for n in range(1_000)] + [{"name": "x", "age": "7"}]
    async with drifted_collection(Strict, documents) as (people, _unbound):
        [misfit] = await people.validate_all()
        assert misfit.objId == (await people.find_one({"name": "x"})).objId


@pytest.mark.parametrize("count", [0, 300])
async def test_validate_all_of_documents_that_fit_lists_nothing(drifted_collection, count):
    async with drifted_collection(User, [{"name": f"{n}"} for n in range(count)]) as (people, _unbound):
        assert await people.validate_all() == []


def upgrade(data):
    data["name"] = data.pop("fullname", None) or data["name"]
    if not str(data.get("age", "")).isdigit():
        data["age"] = 0
    return data


NEW = [
    {"name": "Alice", "age": 25},
    {"name": SENTINEL, "age": 0},
    {"name": SENTINEL, "age": 0},
    {"name": "Dave", "age": "41", "more": [1]},
]


async def test_migrate_gives_every_document_new_data(drifted_collection):
    async with drifted_collection() as (people, unbound):
        before = await people.find_all()
        assert await people.migrate(upgrade) == UpdateResult(4, 2)
        assert await data(unbound) == NEW
        assert [document.objId for document in await people.find_all()] == [document.objId for document in before]
        assert await people.validate_all() == []
        assert await people.migrate(upgrade) == UpdateResult(4, 0)


async def test_migrate_takes_models_which_leave_what_they_do_not_know(drifted_collection):
    async with drifted_collection() as (people, _unbound):
        assert await people.migrate(lambda data: User(name=data.get("name", "nobody"))) == UpdateResult(4, 4)
        unknown = [{}, {}, {"fullname": SENTINEL}, {"more": [1]}]
        assert await data(people) == [
            {"name": name, "age": 0, **left}
            for name, left in zip(("Alice", SENTINEL, "nobody", "Dave"), unknown, strict=True)
        ]


async def test_migrate_without_a_model(drifted_collection):
    async with drifted_collection() as (_people, unbound):
        assert await unbound.migrate(lambda data: {**data, "version": 2}) == UpdateResult(4, 4)
        assert await data(unbound) == [{**document, "version": 2} for document in OLD]


async def test_migrate_of_many_and_of_large_documents_says_how_far_it_is(drifted_collection):
    documents = [{"n": n, "text": "x" * (200_000 if n % 100 == 0 else 10)} for n in range(1_001)]
    async with drifted_collection(documents=documents) as (_people, unbound):
        calls = []

        def progress(done, total, unit):
            calls.append((done, total))
            assert unit == "documents"

        await unbound.create_index("n", unique=True)
        result = await unbound.migrate(lambda data: {**data, "n": data["n"] + 5_000}, progress=progress)
        assert result == UpdateResult(1_001, 1_001)
        assert [done for done, _ in calls] == sorted({done for done, _ in calls})
        assert calls[-1] == (1_001, 1_001)
        assert {total for _, total in calls} == {1_001}
        assert await unbound.distinct("n") == [*range(5_000, 6_001)]
        assert await unbound.count_documents({"n": {"$gte": 5_100}}) == 901


async def test_migrate_of_an_empty_collection(drifted_collection):
    async with drifted_collection(documents=[]) as (people, _unbound):
        assert await people.migrate(upgrade) == UpdateResult(0, 0)


class NoneOfUsError(Exception):
    """What a function of a user raises."""


def raises(data):
    if data["n"] == 250:
        raise NoneOfUsError
    return {**data, "n": -data["n"] - 1}


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (raises, NoneOfUsError),
        (lambda data: {"n": data["n"] if data["n"] < 250 else 5}, DuplicateKeyError),
        (lambda data: {"n": -data["n"] - 1} if data["n"] < 250 else None, InvalidDocumentError),
        (lambda data: {"n": -data["n"] - 1} if data["n"] < 250 else {"n": float("nan")}, InvalidDocumentError),
        (lambda data: data.clear(), InvalidDocumentError),
    ],
    ids=["raises", "a unique index", "forgets to return", "NaN", "changes without returning"],
)
async def test_a_migration_that_fails_changes_nothing(drifted_collection, function, error):
    documents = [{"n": n} for n in range(300)]
    async with drifted_collection(documents=documents) as (_people, unbound):
        await unbound.create_index("n", unique=True)
        with pytest.raises(error):
            await unbound.migrate(function)
        assert await data(unbound) == documents
        assert await unbound.count_documents({"n": {"$lt": 0}}) == 0


async def test_a_migration_to_what_does_not_fit_the_model_changes_nothing(drifted_collection):
    async with drifted_collection() as (people, unbound):
        with pytest.raises(ValidationError) as caught:
            await people.migrate(lambda data: {**data, "age": data.get("age", 0)})
        assert SENTINEL not in str(caught.value)
        assert await data(unbound) == OLD


async def test_a_progress_that_raises_undoes_the_migration(drifted_collection):
    def progress(done, total, unit):
        raise NoneOfUsError

    async with drifted_collection() as (_people, unbound):
        with pytest.raises(NoneOfUsError):
            await unbound.migrate(lambda data: {}, progress=progress)
        assert await data(unbound) == OLD


@pytest.mark.parametrize("turns", [*range(10), 20, 40, 80])
async def test_a_migration_that_is_cancelled_is_made_or_not(people, turns):
    await people.insert_many([{"n": n} for n in range(500)])
    task = asyncio.create_task(people.migrate(lambda data: {"n": data["n"] + 1_000}))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert await people.count_documents({"n": {"$gte": 1_000}}) in ({0, 500} if task.cancelled() else {500})
    await people.update_many({}, {"$inc": {"n": 1}})


async def test_a_migration_loses_no_write_of_another_task(people):
    await people.insert_many([{"n": 0} for _ in range(300)])
    adding = [people.update_many({}, {"$inc": {"n": 1}}) for _ in range(3)]
    adding += [people.update_one({}, {"$inc": {"n": 1}}) for _ in range(20)]
    migrating = people.migrate(lambda data: {"n": data["n"], "migrated": True})
    await asyncio.gather(*adding[:12], migrating, *adding[12:])
    assert await people.count_documents({"migrated": True}) == 300
    assert sum(document.data["n"] for document in await people.find_all()) == 300 * 3 + 20
