"""Cancelled at any point, a call leaves the cluster whole and usable, and no thread, connection or lock behind."""

import asyncio
import threading

import pytest

from poof import PoofCluster
from poof.engines.sqlite.turns.store import StoppedError
from tests.support.inside import check_idle, check_whole
from tests.support.people import open_cluster

pytestmark = pytest.mark.every_engine

TURNS = [*range(25), 40, 80, 200]
"""After how many turns of the loop a call is cancelled."""
SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def open_people(where, **options):
    cluster = await open_cluster(where, **options)
    return cluster, await (await cluster.get_database("db")).get_collection("people")


async def spin(turns):
    for _ in range(turns):
        await asyncio.sleep(0)


async def cancelled_after(turns, coroutine):
    """Cancels a call after some turns of the loop, unless it has ended; returns its task."""
    task = asyncio.create_task(coroutine)
    await spin(turns)
    task.cancel()
    await asyncio.wait([task])
    return task


async def stream(people):
    return [doc async for doc in people.find()]


async def produce(count):
    for n in range(count):
        await asyncio.sleep(0)
        yield {"n": n}


async def check(cluster, people):
    """The cluster does everything, and nothing is held or lent."""
    doc = await people.insert({"n": "check"})
    assert await people.find_by_id(doc.objId) == doc
    assert await people.delete(doc.objId)
    async with cluster.transaction():
        await people.insert_many([])
    await check_whole(cluster)
    await cluster.save()
    await check_idle(cluster)


CALLS = {
    "insert": lambda cluster, people, doc: people.insert({"n": "new"}),
    "large insert": lambda cluster, people, doc: people.insert({"n": "new", "text": "x" * 200_000}),
    "update": lambda cluster, people, doc: people.update(doc.objId, {"n": "changed"}),
    "delete": lambda cluster, people, doc: people.delete(doc.objId),
    "find_by_id": lambda cluster, people, doc: people.find_by_id(doc.objId),
    "find_all": lambda cluster, people, doc: people.find_all(),
    "find": lambda cluster, people, doc: stream(people),
    "save": lambda cluster, people, doc: cluster.save(),
    "insert_many of a list": lambda cluster, people, doc: people.insert_many([{"n": n} for n in range(3_000)]),
    "insert_many of a stream": lambda cluster, people, doc: people.insert_many(produce(100)),
    "get_database": lambda cluster, people, doc: cluster.get_database("new"),
}


EFFECTS = {"insert": 1, "large insert": 1, "delete": -1, "insert_many of a list": 3_000, "insert_many of a stream": 100}
"""How many documents there are more after a call."""
EFFECTS_ON_ONE = {
    "update": lambda doc: [doc, doc.model_copy(update={"data": {"n": "changed"}})],
    "delete": lambda doc: [doc, None],
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("busy", [False, True])
async def test_a_call_cancelled_at_any_point_is_made_or_not(where, name, busy):
    cluster, people = await open_people(where)
    async with cluster:
        large = [{"n": n, "text": "x" * 2_000} for n in range(100)]
        await people.insert_many(large)
        for turns in TURNS:
            before = len(await people.find_all())
            doc = await people.insert({"n": "old"})
            other = asyncio.create_task(people.insert({"n": "other", "text": "x" * 100_000})) if busy else None
            await cancelled_after(turns, CALLS[name](cluster, people, doc))
            if other is not None:
                assert await people.delete((await other).objId)
            docs = await people.find_all()
            assert len(docs) - before in {1, 1 + EFFECTS.get(name, 0)}
            assert await people.find_by_id(doc.objId) in EFFECTS_ON_ONE.get(name, lambda doc: [doc])(doc)
            await people.delete_many({"_objId": {"$in": [it.objId for it in docs[before:]]}})
        await check(cluster, people)


async def test_a_call_with_a_deadline_in_the_past_raises_timeout_error(where):
    cluster, people = await open_people(where)
    async with cluster:
        doc = await people.insert({"n": "old"})
        await people.insert_many([{"n": n} for n in range(100)])
        for name, call in CALLS.items():
            if name == "find_by_id":  # which awaits nothing
                continue
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await call(cluster, people, doc)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), cluster.transaction():
                await people.insert({"n": "new"})
                await asyncio.sleep(0)
        await check(cluster, people)


async def test_an_opening_cancelled_at_any_point_leaves_nothing(path, key):
    for turns in [*TURNS, 1_000]:
        task = await cancelled_after(turns, PoofCluster.create(path, key))
        if not task.cancelled():
            await task.result().close()
        for thread in threading.enumerate():
            if thread.name.startswith("poof-write"):
                await asyncio.to_thread(thread.join)
    cluster, people = await open_people(path, key=key)
    async with cluster:
        await check(cluster, people)
    assert [file.name for file in path.parent.iterdir()] == ["cluster.poof"]


async def test_a_closing_cancelled_at_any_point_goes_on(where, key):
    for turns in TURNS:
        cluster, people = await open_people(where, key=key)
        writing = asyncio.create_task(people.insert({"n": 1, "text": "x" * 100_000}))
        await spin(2)
        await cancelled_after(turns, cluster.close())
        if turns:
            assert (await writing).data["n"] == 1
        await asyncio.wait([writing])
        await cluster.close()


@pytest.mark.own_engine
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_long_read_that_is_cancelled_stops(where, in_transaction):
    """Nothing else would ever end the statement, and `check` reads on every thread that there is."""
    cluster, people = await open_people(where)
    async with cluster:
        begun = threading.Event()

        def read(connection):
            begun.set()
            return connection.execute(SLOW).get

        async def use():
            if in_transaction:
                async with cluster.transaction():
                    await people.insert({"n": "lost"})
                    await cluster._engine._calls.read(read)
            else:
                await cluster._engine._calls.read(read)

        for _ in range(4):
            begun.clear()
            task = asyncio.create_task(use())
            await asyncio.to_thread(begun.wait)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        await check(cluster, people)
        assert await people.find_all() == []


@pytest.mark.own_engine
async def test_a_read_whose_deadline_passed_in_a_transaction_leaves_the_transaction_open(where):
    cluster, people = await open_people(where)
    async with cluster:

        def read(connection):
            return connection.execute(SLOW).get

        async with cluster.transaction() as transaction:
            await people.insert({"n": 1})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await cluster._engine._calls.read(read)
            await people.insert({"n": 2})
        assert transaction.state == "committed"
        assert [doc.data["n"] for doc in await people.find_all()] == [1, 2]


async def test_a_long_find_all_that_is_cancelled_while_it_waits_for_a_thread_is_never_made(path):
    cluster, people = await open_people(path)
    async with cluster:
        pool = cluster._engine._calls._pool
        go_on = threading.Event()
        holding = [asyncio.wrap_future(pool.submit(go_on.wait)) for _ in range(2)]
        calls = []
        task = asyncio.create_task(pool.read(lambda connection: calls.append(1)))
        await spin(2)
        task.cancel()
        await asyncio.wait([task])
        go_on.set()
        await asyncio.gather(*holding)
        await check(cluster, people)
        assert calls == []


async def test_nobody_sees_how_a_read_is_stopped(path, caplog):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(5_000)])
        for turns in range(0, 200, 10):
            for call in (people.find_all(), stream(people)):
                task = await cancelled_after(turns, call)
                assert task.cancelled() or not isinstance(task.exception(), StoppedError)
    assert caplog.text == ""


async def test_all_tasks_of_a_crowd_are_cancelled_at_once(where):
    cluster, people = await open_people(where)
    async with cluster:

        async def work(n):
            async with cluster.transaction():
                await people.insert({"n": n})
                await people.find_all()
            await people.insert({"n": n})
            await stream(people)

        for turns in (1, 5, 20, 60):
            tasks = [asyncio.create_task(work(n)) for n in range(50)]
            await spin(turns)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await check(cluster, people)
