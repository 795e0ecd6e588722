"""Updates of several tasks and processes at once: none is lost, and one that is cancelled is made as a whole or not."""

import asyncio
import contextlib
import sys

import pytest

from poof import BusyError, DeleteOne, InsertOne, PoofCluster, UpdateOne, UpdateResult
from poof.engines.contract import Change
from poof.engines.sqlite.tables import changing
from poof.engines.sqlite.turns.store import Stop, StoppedError
from poof.query.query import Query
from tests.support.inside import check_idle
from tests.support.people import KEY, PROGRAM, names, open_people

pytestmark = pytest.mark.every_engine

TURNS = [*range(12), 20, 40, 100]
"""After how many turns of the loop a call is cancelled."""


async def spin(turns):
    for _ in range(turns):
        await asyncio.sleep(0)


async def value(people):
    return (await people.find_one({"name": "counter"})).data["n"]


ADDS = {
    "update_one": lambda people: people.update_one({"name": "counter"}, {"$inc": {"n": 1}}),
    "update_many": lambda people: people.update_many({"name": "counter"}, {"$inc": {"n": 1}}),
    "upsert": lambda people: people.update_one({"name": "counter"}, {"$inc": {"n": 1}}, upsert=True),
    "find_one_and_update": lambda people: people.find_one_and_update({"name": "counter"}, {"$inc": {"n": 1}}),
    "bulk_write": lambda people: people.bulk_write([UpdateOne({"name": "counter"}, {"$inc": {"n": 1}})]),
    "of a large document": lambda people: people.update_one({"name": "large"}, {"$inc": {"n": 1}}),
}


@pytest.mark.parametrize("name", ADDS)
async def test_fifty_tasks_add_to_one_counter(people, name):
    await people.insert_many([{"n": n} for n in range(100)])
    await people.insert({"name": "counter", "n": 0})
    await people.insert({"name": "large", "n": 0, "text": "x" * 100_000})
    await asyncio.gather(*(ADDS[name](people) for _ in range(50)))
    counter = await people.find_one({"name": "large" if "large" in name else "counter"})
    assert counter.data["n"] == 50
    assert await people.count_documents() == 102


async def test_tasks_that_upsert_the_same_document_insert_it_once(people):
    calls = [people.update_one({"name": "counter"}, {"$inc": {"n": 1}}, upsert=True) for _ in range(30)]
    calls += [people.update_many({"name": "counter"}, {"$inc": {"n": 1}}, upsert=True) for _ in range(20)]
    results = await asyncio.gather(*calls)
    assert sum(result.upserted_id is not None for result in results) == 1
    assert await people.count_documents() == 1
    assert await value(people) == 50


async def test_tasks_that_take_documents_from_a_queue_take_each_once(people):
    await people.insert_many([{"n": n} for n in range(200)])

    async def take():
        taken = []
        while document := await people.find_one_and_delete({}, sort={"n": -1}):
            taken.append(document.data["n"])
        assert taken == sorted(taken, reverse=True)
        return taken

    taken = await asyncio.gather(*(take() for _ in range(8)))
    assert sorted(n for each in taken for n in each) == [*range(200)]


@pytest.mark.parametrize("name", [name for name in ADDS if "large" not in name])
async def test_a_write_waits_for_a_transaction_of_another_task(cluster, people, name):
    await people.insert({"name": "counter", "n": 0})
    begun = asyncio.Event()

    async def add():
        await begun.wait()
        await ADDS[name](people)

    adding = [asyncio.create_task(add()) for _ in range(50)]
    async with cluster.transaction():
        n = await value(people)
        begun.set()
        await spin(100)
        assert not any(task.done() for task in adding)
        await people.update_one({"name": "counter"}, {"$set": {"n": n + 1_000}})
    await asyncio.gather(*adding)
    assert await value(people) == 1_050


async def test_tasks_that_use_transactions_and_tasks_that_do_not(cluster, people):
    await people.insert({"name": "counter", "n": 0})

    async def in_transaction():
        async with cluster.transaction():
            n = await value(people)
            await asyncio.sleep(0)
            await people.update_one({"name": "counter"}, {"$set": {"n": n + 1}})

    async def fails():
        async with cluster.transaction():
            await people.update_many({}, {"$inc": {"n": 1_000}})
            raise ZeroDivisionError

    calls = [call() for _ in range(15) for call in (in_transaction, fails, lambda: ADDS["update_one"](people))]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results if isinstance(result, BaseException)] == [ZeroDivisionError] * 15
    assert await value(people) == 30


async def test_two_calls_that_go_over_all_documents_do_not_mix(people):
    await people.insert_many([{"n": 1, "m": 1} for _ in range(500)])
    await asyncio.gather(
        *(people.update_many({}, {"$mul": {"n": 2}, "$inc": {"m": 1}}) for _ in range(3)),
        *(people.update_many({}, {"$inc": {"n": 1}}) for _ in range(3)),
        people.delete_many({"m": {"$gt": 4}}),
    )
    assert len(await people.distinct("n")) == 1
    assert await people.distinct("m") == [4]


async def check(cluster, people):
    """The cluster does everything, and nothing is held or lent."""
    assert await people.update_one({"name": "check"}, {"$inc": {"n": 1}}, upsert=True)
    assert (await people.delete_one({"name": "check"})).deleted_count == 1
    async with cluster.transaction():
        await people.update_many({}, {"$set": {"checked": True}})
    await cluster.save()
    await check_idle(cluster)


CALLS = {
    "update_one": (lambda people: people.update_one({}, {"$inc": {"n": 1}}), {0, 1}),
    "update_one of a large one": (lambda people: people.update_one({"large": True}, {"$inc": {"n": 1}}), {0, 1}),
    "update_many": (lambda people: people.update_many({}, {"$inc": {"n": 1}}), {0, 301}),
    "upsert": (lambda people: people.update_one({"x": 1}, {"$inc": {"n": 1}}, upsert=True), {0, 1}),
    "delete_many": (lambda people: people.delete_many({"n": 1}), {0, -300}),
    "bulk_write": (lambda people: people.bulk_write([UpdateOne({}, {"$inc": {"n": 1}})] * 60), {0, 60}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("indexed", [False, True])
async def test_a_call_cancelled_at_any_point_is_made_or_not(cluster, people, name, indexed):
    call, effects = CALLS[name]
    if indexed:
        await people.create_index("n")
    for turns in TURNS:
        await people.delete_many({})
        await people.insert_many([{"n": 1} for _ in range(300)])
        await people.insert({"n": 0, "large": True, "text": "x" * 100_000})
        task = asyncio.create_task(call(people))
        await spin(turns)
        task.cancel()
        await asyncio.wait([task])
        change = sum(document.data["n"] for document in await people.find_all()) - 300
        assert change in (effects if task.cancelled() else effects - {0})
        if indexed:
            assert await people.find({"n": {"$gte": 0}}).count() == await people.count_documents()
    await check(cluster, people)


@pytest.mark.parametrize("name", CALLS)
async def test_a_transaction_cancelled_in_a_call_is_undone(cluster, people, name):
    call, _ = CALLS[name]
    await people.insert_many([{"n": 1} for _ in range(300)])
    await people.insert({"n": 0, "large": True, "text": "x" * 100_000})

    async def use():
        async with cluster.transaction() as transaction:
            await people.insert({"n": 0})
            await call(people)
            await asyncio.Event().wait()
        return transaction

    for turns in TURNS:
        task = asyncio.create_task(use())
        await spin(turns)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await people.count_documents() == 301
        assert sum(document.data["n"] for document in await people.find_all()) == 300
    await check(cluster, people)


@pytest.mark.own_engine
async def test_a_change_that_is_stopped_as_it_begins_leaves_no_transaction_open(cluster, people):
    """SQLite looks at every so many steps of a statement, over all its runs, and so also at the end of a BEGIN."""
    await people.insert({"n": 0})
    store = cluster._engine._calls._writer.store
    stop = Stop()
    stop.stopped = True
    for _ in range(2_000):
        with contextlib.suppress(StoppedError):
            store.call_until(
                stop, changing.change_all, people._documents._id, Query(), Change(lambda _obj_id, _data: None)
            )
        assert not store.in_transaction


def test_reads_that_are_cancelled_leave_nothing_behind(story):
    reads = {
        "to_list": lambda people: people.find({"n": {"$gte": 0}}).to_list(),
        "count": lambda people: people.count_documents({"n": {"$mod": [2, 0]}}),
        "distinct": lambda people: people.distinct("n"),
        "explain": lambda people: people.find().sort("n").explain(),
        "find_one": lambda people: people.find_one({"n": 2_999}),
    }

    async def block(cluster, people):
        await people.insert_many([{"n": n} for n in range(3_000)])
        for read in reads.values():
            for turns in TURNS:
                task = asyncio.create_task(read(people))
                await spin(turns)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() or task.exception() is None
        await check(cluster, people)

    story(block)


ADD = """
from poof import UpdateOne
async def main(times):
    cluster, people = await open_people(timeout=60)
    async with cluster:
        for n in range(times):
            await people.update_one({"name": "counter"}, {"$inc": {"n": 1}})
            await people.update_many({"n": {"$gte": 0}}, {"$inc": {"all": 1}})
            await people.update_one({"name": "upserted"}, {"$inc": {"n": 1}}, upsert=True)
            await people.bulk_write([UpdateOne({"name": "bulk"}, {"$inc": {"n": 1}}, upsert=True)])

asyncio.run(main(int(sys.argv[3])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes that start slowly")
async def test_processes_that_add_to_the_same_documents_lose_nothing(path, start_python):
    async def prepare():
        cluster, people = await open_people(path)
        async with cluster:
            await people.create_index("name", unique=True)
            await people.insert_many([{"name": "counter", "n": 0}, {"name": "upserted", "n": 0}])

    async def look():
        cluster, people = await open_people(path)
        async with cluster:
            return {document.data.pop("name"): document.data for document in await people.find_all()}

    await prepare()
    processes = [start_python(PROGRAM + ADD, path, KEY, 30) for _ in range(3)]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [("", 0)] * 3
    found = await look()
    assert {name: data["n"] for name, data in found.items()} == {"counter": 90, "upserted": 90, "bulk": 90}
    assert found["counter"]["all"] == found["upserted"]["all"] == 90
    assert names(path) == ["cluster.poof"]


HOLD = """
async def main():
    cluster, people = await open_people()
    async with cluster:
        async with cluster.transaction():
            await people.update_one({}, {"$inc": {"n": 10}})
            print("held", flush=True)
            await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes that start slowly")
async def test_writes_beside_another_process_s_transaction_are_busy_and_reads_go_on(path, start_python):
    cluster, people = await open_people(path, timeout=0.05)
    async with cluster:
        await people.insert({"n": 0})
        await people.create_index("n")
        process = start_python(PROGRAM + HOLD, path, KEY)
        assert await asyncio.to_thread(process.stdout.readline) == "held\n"
        for call in (
            lambda: people.update_one({}, {"$inc": {"n": 1}}),
            lambda: people.update_many({}, {"$inc": {"n": 1}}),
            lambda: people.delete_many({}),
            lambda: people.find_one_and_delete({}),
            lambda: people.bulk_write([InsertOne({}), DeleteOne({})]),
            lambda: people.migrate(lambda data: {}),
            lambda: people.drop(),
        ):
            with pytest.raises(BusyError):
                await call()
            assert await people.find({"n": 0}).count() == 1
        process.stdin.write("end\n")
        process.stdin.flush()
        assert await asyncio.to_thread(process.wait) == 0
        assert await people.update_one({"n": 10}, {"$inc": {"n": 1}}) == UpdateResult(1, 1)
        assert await people.distinct("n") == [11]


async def test_a_cluster_closed_in_the_middle_of_many_updates_has_made_those_it_acknowledged(path):
    async def write():
        cluster, people = await open_people(path)
        await people.insert({"n": 0})
        calls = [asyncio.ensure_future(people.update_one({}, {"$inc": {"n": 1}})) for _ in range(40)]
        calls += [asyncio.ensure_future(people.update_many({}, {"$inc": {"n": 1}})) for _ in range(10)]
        await spin(2)
        await cluster.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
        return sum(isinstance(result, UpdateResult) for result in results)

    async def read():
        async with await PoofCluster.create(path, KEY) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            return await people.distinct("n")

    made = await write()
    assert await read() == [made]
