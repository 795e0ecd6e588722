"""Reads: on the event loop while they are short, on threads when they are long, streams in chunks of one snapshot."""

import asyncio
import random
import threading

import pytest

from poof.engines.sqlite.tables import rows
from poof.engines.sqlite.tables.budget import OVER_BUDGET
from poof.engines.sqlite.tuning import DEFAULT
from poof.errors import ClosedError
from poof.query.query import Query
from tests.support.people import open_cluster

FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def open_people(where, **options):
    cluster = await open_cluster(where, **options)
    return cluster, await (await cluster.get_database("db")).get_collection("people")


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("poof-read")]


def numbers(documents):
    return [document.data["n"] for document in documents]


async def everything_given_back(cluster):
    """Waits until the threads of the pool have done what they were given; says whether no connection is lent."""
    pool = cluster._engine._calls._pool
    barrier = threading.Barrier(2)
    await asyncio.gather(*(asyncio.wrap_future(pool.submit(barrier.wait)) for _ in range(2)))
    return not pool._lent


async def test_many_small_reads_use_no_thread(path):
    cluster, people = await open_people(path)
    async with cluster:
        docs = [await people.insert({"n": n}) for n in range(DEFAULT.quick_documents)]
        for doc in docs * 20:
            assert await people.find_by_id(doc.objId) == doc
        for _ in range(20):
            assert await people.find_all() == docs
        assert threads() == []


async def test_a_large_document_is_read_on_a_thread_and_is_the_same(path):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"text": "x" * DEFAULT.quick_document})
        assert threads() == []
        assert await people.find_by_id(doc.objId) == doc
        assert threads() != []
        assert await people.find_all() == [doc]


async def test_many_documents_are_read_on_a_thread_and_are_the_same(path):
    cluster, people = await open_people(path)
    async with cluster:
        docs = [await people.insert({"n": n}) for n in range(DEFAULT.quick_documents + 1)]
        assert await people.find_all() == docs
        assert threads() != []


async def test_a_statement_over_the_budget_ends_and_the_next_read_works(where):
    cluster, people = await open_people(where)
    async with cluster:
        doc = await people.insert({"n": 1})
        store = cluster._engine._calls._writer.store
        for _ in range(3):
            assert store.read_quick(lambda connection: connection.execute(FOREVER).get) is OVER_BUDGET
            assert await people.find_by_id(doc.objId) == doc
        await people.update(doc.objId, {"n": 2})
        assert numbers(await people.find_all()) == [2]


async def test_a_read_on_the_loop_never_waits_for_a_lock(path):
    """After a commit on the thread, where calls wait, reads on the loop must not."""
    cluster, people = await open_people(path, timeout=3600)
    async with cluster:
        doc = await people.insert({"text": "x" * 100_000})
        store = cluster._engine._calls._writer.store
        store.wait(True)
        store.read_quick(rows.find_quick, people._documents._id, doc.objId)
        assert store._connection.pragma("busy_timeout") == 0


@pytest.mark.every_engine
async def test_every_task_sees_its_acknowledged_writes_at_once(where):
    cluster, people = await open_people(where)
    rng = random.Random(1)

    async def work(worker):
        mine = {}
        for n in range(25):
            kind = rng.choice(["insert", "insert", "update", "delete"]) if mine else "insert"
            if kind == "insert":
                doc = await people.insert({"n": n, "by": worker, "text": "x" * rng.choice([1, 300, 100_000])})
                mine[doc.objId] = doc
            elif kind == "update":
                obj_id = rng.choice(list(mine))
                mine[obj_id] = await people.update(obj_id, {"n": -n, "by": worker})
            else:
                obj_id = rng.choice(list(mine))
                del mine[obj_id]
                assert await people.delete(obj_id)
                assert await people.find_by_id(obj_id) is None
            for obj_id in rng.sample(list(mine), min(3, len(mine))):
                assert await people.find_by_id(obj_id) == mine[obj_id]
            if n % 8 == 0:
                assert [doc for doc in await people.find_all() if doc.data["by"] == worker] == list(mine.values())
                assert [doc async for doc in people.find() if doc.data["by"] == worker] == list(mine.values())

    async with cluster:
        await asyncio.gather(*(work(worker) for worker in range(8)))


@pytest.mark.every_engine
@pytest.mark.parametrize("read", ["find_by_id", "find_all"])
async def test_a_tight_loop_of_reads_lets_other_tasks_run(where, read):
    cluster, people = await open_people(where)
    async with cluster:
        doc = await people.insert({"n": 1})
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticker = asyncio.create_task(turn())
        count = 20 * DEFAULT.reads_a_turn
        for _ in range(count):
            await (people.find_by_id(doc.objId) if read == "find_by_id" else people.find_all())
        assert turns >= 20
        ticker.cancel()


@pytest.mark.every_engine
async def test_a_stream_sees_one_snapshot_while_others_write(where):
    cluster, people = await open_people(where)
    async with cluster:
        ids = (await people.insert_many([{"n": n} for n in range(5_000)])).inserted_ids
        seen = []
        async for doc in people.find():
            seen.append(doc.data["n"])
            if len(seen) % 500 == 1:
                await people.insert({"n": "new"})
                assert await people.delete(ids[-len(seen)])
                await people.update(ids[len(seen) + 300 if len(seen) < 4_000 else 0], {"n": "changed"})
        assert seen == list(range(5_000))
        assert len(await people.find_all()) == 5_000


async def test_the_chunks_of_a_stream_are_bounded(where):
    cluster, people = await open_people(where)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(1_000)])
        chunks = [chunk async for chunk in people._documents.stream(Query())]
        assert [len(chunk) for chunk in chunks] == [DEFAULT.chunk_documents] * (1_000 // DEFAULT.chunk_documents)
        large = await (await cluster.get_database("db")).get_collection("large")
        await large.insert_many([{"text": "x" * (DEFAULT.chunk_bytes // 3)} for _ in range(7)])
        assert [len(chunk) async for chunk in large._documents.stream(Query())] == [3, 3, 1]


async def break_out(people):
    async for _ in people.find():
        break


async def fail(people):
    with pytest.raises(ZeroDivisionError):
        async for _ in people.find():
            raise ZeroDivisionError


async def drop(people):
    documents = aiter(people.find())
    await anext(documents)
    del documents


async def close_explicitly(people):
    documents = aiter(people.find())
    await anext(documents)
    await documents.aclose()


async def be_cancelled_between(people):
    reading = asyncio.Event()

    async def read():
        async for _ in people.find():
            reading.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("abandon", [break_out, fail, drop, close_explicitly, be_cancelled_between])
async def test_an_abandoned_stream_leaves_no_connection_and_lets_the_log_end(path, abandon):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(1_000)])
        for _ in range(5):
            await abandon(people)
        await people.insert({"n": "more"})
        await cluster.save()
        assert path.with_name("cluster.poof-wal").stat().st_size == 0
        assert await everything_given_back(cluster)
        assert len(cluster._engine._calls._pool._idle) <= 2


async def test_a_stream_cancelled_at_any_point_gives_its_connection_back(path):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many([{"n": n, "text": "x" * 1_000} for n in range(2_000)])

        async def read():
            async for _ in people.find():
                pass

        async def spin(turns):
            for _ in range(turns):
                await asyncio.sleep(0)

        for turns in [*range(30), *range(30, 1_000, 35)]:
            task = asyncio.create_task(read())
            await spin(turns)
            task.cancel()
            await asyncio.wait([task])
        await spin(10)
        assert await everything_given_back(cluster)
        await cluster.save()
        assert path.with_name("cluster.poof-wal").stat().st_size == 0


@pytest.mark.every_engine
async def test_two_streams_at_once_see_the_moment_they_began(where):
    cluster, people = await open_people(where)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(500)])
        one = aiter(people.find())
        seen = [await anext(one)]
        await people.insert({"n": 500})
        other = aiter(people.find())
        also_seen = [await anext(other)]
        await people.insert({"n": 501})
        while len(also_seen) < 501:
            also_seen.append(await anext(other))
            if len(seen) < 500:
                seen.append(await anext(one))
        assert numbers(seen) == list(range(500))
        assert numbers(also_seen) == list(range(501))
        assert await anext(one, None) is await anext(other, None) is None


@pytest.mark.every_engine
async def test_a_stream_in_a_transaction_sees_the_writes_of_the_transaction(where):
    cluster, people = await open_people(where)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(1_000)])
        async with cluster.transaction():
            await people.insert({"n": 1_000})
            assert numbers([doc async for doc in people.find()]) == list(range(1_001))


async def test_a_long_read_in_a_transaction_is_made_on_the_thread(where):
    cluster, people = await open_people(where)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(1_000)])
        made_on = set()
        call, call_until = (
            cluster._engine._calls._writer.store.call,
            cluster._engine._calls._writer.store.call_until,
        )

        def note(function):
            if function.__name__ in ("find_all", "read_whole"):
                made_on.add((function.__name__, threading.current_thread() is threading.main_thread()))

        def noted_call(function, *args):
            note(function)
            return call(function, *args)

        def noted_read(stop, function, *args):
            note(function)
            return call_until(stop, function, *args)

        cluster._engine._calls._writer.store.call = noted_call
        cluster._engine._calls._writer.store.call_until = noted_read
        async with cluster.transaction():
            assert len(await people.find_all()) == 1_000
            assert len([doc async for doc in people.find()]) == 1_000
        assert made_on == {("find_all", False), ("read_whole", False)}


async def test_to_list_reads_as_many_documents_as_are_asked_for(where):
    cluster, people = await open_people(where)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(300)])
        cursor = people.find()
        assert numbers(await cursor.to_list(250)) == list(range(250))
        assert numbers(await cursor.to_list()) == list(range(300))
        assert await cursor.to_list(0) == []


async def test_closing_the_cluster_ends_a_stream_with_a_clear_error(path):
    cluster, people = await open_people(path)
    await people.insert_many([{"n": n} for n in range(1_000)])
    seen = 0
    with pytest.raises(ClosedError):
        async for _ in people.find():
            seen += 1
            if seen == 1:
                await cluster.close()
    assert seen == DEFAULT.chunk_documents
    assert [file.name for file in path.parent.iterdir()] == ["cluster.poof"]


async def test_an_iterator_that_outlives_its_loop_leaves_nothing(path):
    kept = []
    cluster, people = await open_people(path)
    await people.insert_many([{"n": n} for n in range(1_000)])
    kept.append(aiter(people.find()))
    await anext(kept[0])
    await cluster.close()
    kept.clear()
