"""Databases and collections as a whole: listed, renamed, dropped; what becomes of their space, and of old handles."""

import asyncio
import contextlib

import pytest

from poof import DuplicateKeyError, GoneError, InvalidNameError, LimitError, PoofCluster
from poof.engines.contract import MAX_COLLECTIONS, MAX_DATABASES
from tests.support.people import KEY, PROGRAM, collection, names, open_people

pytestmark = pytest.mark.every_engine


@pytest.fixture(params=[False, True], ids=["outside", "inside"])
def open_catalogue(request, cluster):
    """A cluster and its database, outside and inside a transaction."""

    @contextlib.asynccontextmanager
    async def opened():
        database = await cluster.get_database("db")
        await database.get_collection("people")
        async with cluster.transaction() if request.param else contextlib.nullcontext():
            yield cluster, database

    return opened


async def filled(database, name, count=3):
    new = await database.get_collection(name)
    await new.insert_many([{"n": n} for n in range(count)])
    await new.create_index("n", unique=True)
    return new


async def test_names_are_listed_in_order(open_catalogue):
    async with open_catalogue() as (cluster, database):
        assert await database.list_collection_names() == ["people"]
        for name in ("zebra", "Ant", "ärger", "ant"):
            await database.get_collection(name)
            await cluster.get_database(name)
        assert await database.list_collection_names() == ["Ant", "ant", "people", "zebra", "ärger"]
        assert await cluster.list_database_names() == ["Ant", "ant", "db", "zebra", "ärger"]
        assert await (await cluster.get_database("ant")).list_collection_names() == []


@pytest.mark.parametrize("by_name", [False, True])
async def test_a_collection_is_dropped_with_its_documents_and_indexes(open_catalogue, by_name):
    async with open_catalogue() as (cluster, database):
        pets = await filled(database, "pets", 500)
        other = await filled(await cluster.get_database("other"), "pets")
        kept = await filled(database, "kept")
        if by_name:
            assert await database.drop_collection("pets")
            assert not await database.drop_collection("pets")
        else:
            await pets.drop()
        assert await database.list_collection_names() == ["kept", "people"]
        new = await database.get_collection("pets")
        assert await new.find_all() == await new.list_indexes() == []
        await new.insert_many([{"n": 1}, {"n": 1}])
        for left in (other, kept):
            assert await left.count_documents() == 3
            with pytest.raises(DuplicateKeyError):
                await left.insert({"n": 1})


async def test_a_dropped_collection_is_gone_for_those_who_have_it(open_catalogue):
    async with open_catalogue() as (_cluster, database):
        pets = await filled(database, "pets")
        obj_id = (await pets.find_one()).objId
        await database.drop_collection("pets")
        for call in (
            lambda: pets.insert({}),
            lambda: pets.insert_many([{}]),
            lambda: pets.find_by_id(obj_id),
            lambda: pets.find_all(),
            lambda: pets.find().to_list(),
            lambda: pets.find({"n": 1}).sort("n").explain(),
            lambda: pets.count_documents(),
            lambda: pets.distinct("n"),
            lambda: pets.update(obj_id, {}),
            lambda: pets.update_one({}, {"$set": {"n": 1}}),
            lambda: pets.update_many({}, {"$set": {"n": 1}}, upsert=True),
            lambda: pets.delete(obj_id),
            lambda: pets.delete_many({}),
            lambda: pets.migrate(lambda data: data),
            lambda: pets.create_index("m"),
            lambda: pets.rename("new"),
            lambda: pets.drop(),
        ):
            with pytest.raises(GoneError, match="gone"):
                await call()
        with pytest.raises(GoneError):
            async for _ in pets.find():
                pass
        assert await database.list_collection_names() == ["people"]
        await filled(database, "pets")
        with pytest.raises(GoneError):
            await pets.find_all()


@pytest.mark.parametrize("by_name", [False, True])
async def test_a_renamed_collection_is_the_same(open_catalogue, by_name):
    async with open_catalogue() as (cluster, database):
        pets = await filled(database, "pets")
        await filled(await cluster.get_database("other"), "animals")
        if by_name:
            await database.rename_collection("pets", "animals")
        else:
            await pets.rename("animals")
            assert pets.name == "animals"
            assert "animals" in repr(pets)
        assert await database.list_collection_names() == ["animals", "people"]
        animals = await database.get_collection("animals")
        assert await animals.find_all() == await pets.find_all()
        with pytest.raises(DuplicateKeyError):
            await animals.insert({"n": 1})
        await pets.insert({"n": 9})
        assert await (await database.get_collection("pets")).find_all() == []


async def test_a_renaming_that_is_not_possible_changes_nothing(open_catalogue):
    async with open_catalogue() as (_cluster, database):
        pets = await filled(database, "pets")
        with pytest.raises(InvalidNameError, match="another collection 'people'"):
            await pets.rename("people")
        with pytest.raises(InvalidNameError, match="another collection 'people'"):
            await database.rename_collection("pets", "people")
        with pytest.raises(GoneError, match="no collection 'nothing'"):
            await database.rename_collection("nothing", "new")
        assert pets.name == "pets"
        await pets.rename("pets")
        await database.rename_collection("pets", "pets")
        assert await database.list_collection_names() == ["people", "pets"]


async def test_a_database_is_dropped_with_its_collections(open_catalogue):
    async with open_catalogue() as (cluster, _database):
        other = await cluster.get_database("other")
        for name in ("pets", "plants"):
            pets = await filled(other, name)
        assert await cluster.drop_database("other")
        assert not await cluster.drop_database("other")
        assert await cluster.list_database_names() == ["db"]
        with pytest.raises(GoneError):
            await pets.find_all()
        with pytest.raises(GoneError):
            await other.get_collection("pets")
        assert await other.list_collection_names() == []
        assert not await other.drop_collection("pets")
        new = await cluster.get_database("other")
        assert await new.list_collection_names() == []
        assert await (await new.get_collection("pets")).find_all() == []


async def test_what_is_dropped_makes_room_under_the_limits(open_catalogue):
    async with open_catalogue() as (cluster, database):
        for n in range(MAX_COLLECTIONS - 1):
            await database.get_collection(f"{n}")
        for n in range(MAX_DATABASES - 1):
            await cluster.get_database(f"{n}")
        for create in (database.get_collection, cluster.get_database):
            with pytest.raises(LimitError):
                await create("one more")
        await database.drop_collection("7")
        await cluster.drop_database("7")
        for create in (database.get_collection, cluster.get_database):
            await create("one more")


async def test_a_transaction_that_fails_brings_back_what_was_dropped_or_renamed(cluster, people):
    database = await cluster.get_database("db")
    pets = await filled(database, "pets", 500)
    plants = await filled(await cluster.get_database("other"), "plants")
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            await database.drop_collection("pets")
            await filled(database, "pets", 1)
            await cluster.drop_database("other")
            await database.rename_collection("people", "persons")
            raise ZeroDivisionError
    assert await cluster.list_database_names() == ["db", "other"]
    assert await database.list_collection_names() == ["people", "pets"]
    for left, count in ((pets, 500), (plants, 3)):
        assert await left.find({"n": {"$gte": 0}}).count() == count
        with pytest.raises(DuplicateKeyError):
            await left.insert({"n": 1})
    await people.insert({"n": 1})


async def test_a_nested_transaction_that_fails_brings_back_what_it_dropped(cluster):
    database = await cluster.get_database("db")
    async with cluster.transaction():
        pets = await filled(database, "pets")
        with pytest.raises(ZeroDivisionError):
            async with cluster.transaction():
                await pets.drop()
                raise ZeroDivisionError
        await pets.insert({"n": 9})
    assert await pets.distinct("n") == [0, 1, 2, 9]


async def test_the_space_of_what_was_dropped_is_used_again(path):
    async def fill(cluster, name):
        pets = await collection(cluster, "pets", name)
        await pets.create_index("text")
        await pets.insert_many([{"n": n, "text": f"{n}" * 500} for n in range(2_000)])
        await cluster.save()

    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            database = await cluster.get_database("db")
            await fill(cluster, "db")
            size = path.stat().st_size
            for _ in range(3):
                await database.drop_collection("pets")
                await fill(cluster, "db")
                await cluster.drop_database("db")
                await fill(cluster, "other")
                await cluster.drop_database("other")
                database = await cluster.get_database("db")
            assert path.stat().st_size < 1.1 * size

    await story()


async def test_a_loop_goes_on_over_a_collection_that_is_dropped_meanwhile(people):
    await people.insert_many([{"n": n} for n in range(2_000)])
    seen = []
    async for document in people.find():
        seen.append(document.data["n"])
        if len(seen) == 500:
            await people.drop()
    assert seen == [*range(2_000)]
    with pytest.raises(GoneError):
        await people.find().to_list()


async def test_writes_beside_a_drop_are_made_before_it_or_refused(cluster, people):
    database = await cluster.get_database("db")
    calls = [people.update_one({}, {"$inc": {"n": 1}}, upsert=True) for _ in range(50)]
    calls[25:25] = [database.drop_collection("people")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[25] is True
    assert {type(result) for result in results if isinstance(result, BaseException)} <= {GoneError}
    assert await database.list_collection_names() == []


DROP = """
async def main():
    cluster, people = await open_people()
    async with cluster:
        database = await cluster.get_database("db")
        assert await people.count_documents({"n": {"$gte": 50}}) == 50
        await database.rename_collection("pets", "animals")
        assert await database.drop_collection("people")

asyncio.run(main())
"""


async def test_another_process_drops_and_renames(path, run_python):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(100)])
        await people.create_index("n")
        pets = await filled(await cluster.get_database("db"), "pets")
        await asyncio.to_thread(run_python, PROGRAM + DROP, path, KEY, cwd=path.parent)
        for call in (people.find({"n": 5}).to_list(), people.update_one({"n": 5}, {"$inc": {"n": 1}})):
            with pytest.raises(GoneError):
                await call
        assert await pets.count_documents({"n": {"$lt": 9}}) == 3
        assert await (await cluster.get_database("db")).list_collection_names() == ["animals"]
    assert names(path) == ["cluster.poof"]


async def test_names_dropped_and_renamed_are_so_when_the_file_is_opened_again(path):
    async def write():
        cluster, people = await open_people(path)
        async with cluster:
            await people.insert({"n": 1})
            await people.rename("persons")
            await filled(await cluster.get_database("other"), "pets")
            await cluster.drop_database("other")

    async def read():
        async with await PoofCluster.create(path, KEY) as cluster:
            assert await cluster.list_database_names() == ["db"]
            assert await (await cluster.get_database("db")).list_collection_names() == ["persons"]
            assert await (await collection(cluster, "persons")).distinct("n") == [1]

    await write()
    await read()
