"""How transactions end when they do not simply end: cancelled, closed, left, given up by SQLite, or open for long."""

import asyncio
import gc
import logging

import pytest

from poof import DamagedFileError, PoofCluster
from poof.engines.sqlite.tables import savepoints
from poof.errors import ClosedError, TransactionError
from poof.format.layout import PAGE_SIZE
from tests.support import inside
from tests.support.people import collection, numbers, open_cluster

pytestmark = pytest.mark.every_engine

BLOCK_SIZES = {"small": [1, 1, 1], "large": [1, 100_000, 1], "many": [1] * 60}


@pytest.mark.parametrize("sizes", BLOCK_SIZES.values(), ids=BLOCK_SIZES)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_block_cancelled_at_any_point_happened_wholly_or_not_as_its_state_says(
    cluster, people, sizes, nested, busy
):
    states = set()
    for turns in range(40):
        transaction = cluster.transaction()
        inner = cluster.transaction()

        async def write(transaction=transaction, inner=inner):
            async with transaction:
                for n, size in enumerate(sizes):
                    await people.insert({"n": n, "text": "x" * size})
                    await asyncio.sleep(0)
                if nested:
                    async with inner:
                        await people.insert({"n": "inner", "text": ""})
                        await asyncio.sleep(0)

        others = [asyncio.create_task(people.insert({"text": "x" * 100_000})) for _ in range(busy)]
        task = asyncio.create_task(write())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        for doc in await asyncio.gather(*others):
            await people.delete(doc.objId)
        states.add(transaction.state)
        stored = await numbers(people)
        whole = [*range(len(sizes)), *(["inner"] if nested else [])]
        assert stored == (whole if transaction.state == "committed" else [])
        assert task.cancelled() or transaction.state == "committed"
        for doc in await people.find_all():
            await people.delete(doc.objId)
    assert "new" in states  # the others depend on the speed of the thread


@pytest.mark.own_engine
async def test_a_block_cancelled_while_its_commit_is_on_the_thread_says_that_it_is_committed(cluster, people):
    transaction = cluster.transaction()

    async def write():
        async with transaction:
            await people.insert({"n": 1, "text": "x" * 100_000})

    task = asyncio.create_task(write())
    commit = savepoints.commit
    writer = cluster._engine._calls._writer
    in_turn = writer.call_in_turn

    def cancelling(function, *args, **options):
        if function is commit:
            asyncio.get_running_loop().call_soon(task.cancel)
        return in_turn(function, *args, **options)

    writer.call_in_turn = cancelling
    await asyncio.wait([task])
    assert (task.cancelled(), transaction.state) == (True, "committed")
    assert await numbers(people) == [1]
    await people.insert({"n": 2})


async def test_a_block_whose_task_no_longer_waits_for_another_process_never_begins(path, key):
    """The deadline of a task is shorter than the cluster's timeout: it does not wait for the lock to time out."""
    async with await PoofCluster.create(path, key) as one, await PoofCluster.create(path, key, timeout=3600) as two:
        people = await collection(two, "people")
        begin = savepoints.begin
        async with one.transaction():
            waiting = asyncio.Event()
            in_turn = two._engine._calls._writer.call_in_turn

            def note(function, *args, **options):
                if function is begin:
                    waiting.set()
                return in_turn(function, *args, **options)

            two._engine._calls._writer.call_in_turn = note
            transaction = two.transaction()

            async def write():
                async with transaction:
                    await people.insert({"n": 1})

            task = asyncio.create_task(write())
            await waiting.wait()
            task.cancel()
            await asyncio.wait([task])
            assert (task.cancelled(), transaction.state) == (True, "rolled back")
        await people.insert({"n": 2})
        assert await numbers(people) == [2]


def test_a_block_left_by_another_task_is_rolled_back(story):
    """As by an async generator that is dropped inside its block: nobody else would give the connection back."""

    async def block(cluster, people):
        errors = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context["exception"]))

        async def inside():
            async with cluster.transaction():
                await people.insert({"n": "inside"})
                yield

        async def use():
            async for _ in inside():
                break

        await asyncio.create_task(use())
        await people.insert({"n": "after"})
        gc.collect()
        assert [type(error) for error in errors] == [TransactionError]
        assert await numbers(people) == ["after"]

    story(block)


async def test_a_block_goes_on_nowhere_after_sqlite_ended_its_transaction(path, key):
    """SQLite ends a transaction when it cannot read a page. What the block does next would be committed alone."""

    async def prepare():
        async with await PoofCluster.create(path, key) as cluster:
            people, pets = await collection(cluster, "people"), await collection(cluster, "pets")
            await pets.insert({"n": "before"})
            return (await people.insert_many([{"text": "x" * 3_000} for _ in range(200)])).inserted_ids

    async def use(ids):
        async with await PoofCluster.create(path, key) as cluster:
            people, pets = await collection(cluster, "people"), await collection(cluster, "pets")
            with pytest.raises(TransactionError):
                async with cluster.transaction() as transaction:
                    await pets.insert({"n": "lost"})
                    with pytest.raises(DamagedFileError):
                        for obj_id in ids:
                            await people.find_by_id(obj_id)
                    with pytest.raises(TransactionError):
                        await pets.insert({"n": "alone"})
            assert transaction.state == "rolled back"
            await pets.insert({"n": "after"})
            assert await numbers(pets) == ["before", "after"]

    ids = await prepare()
    with path.open("r+b") as file:
        file.seek(60 * PAGE_SIZE + 100)
        file.write(bytes(100))
    await use(ids)


@pytest.fixture
def impatient(monkeypatch):
    """Every transaction is open for long."""
    inside.tune(monkeypatch, long_transaction=0.0)


@pytest.mark.own_engine
async def test_a_transaction_open_for_long_is_reported(impatient, cluster, caplog):
    with caplog.at_level(logging.WARNING, "poof"):
        async with cluster.transaction():
            for _ in range(3):
                await asyncio.sleep(0)
    assert "has been open for" in caplog.text


@pytest.mark.parametrize("nested", [False, True])
async def test_closing_the_cluster_in_a_block_rolls_it_back(path, key, nested):
    cluster = await PoofCluster.create(path, key)
    people = await collection(cluster, "people")
    with pytest.raises(ClosedError):
        async with cluster.transaction() as transaction:
            await people.insert({"n": 1})
            if nested:
                async with cluster.transaction():
                    await cluster.close()
            await cluster.close()
    assert transaction.state == "rolled back"
    async with await PoofCluster.create(path, key) as again:
        assert await numbers(await collection(again, "people")) == []


async def test_closing_the_cluster_ends_blocks_of_other_tasks(where):
    cluster = await open_cluster(where)
    people = await collection(cluster, "people")
    forever = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def hold():
        async with cluster.transaction():
            await people.insert({"n": 1})
            begun.set()
            await forever

    tasks = [asyncio.create_task(hold()) for _ in range(3)]
    await begun.wait()
    await cluster.close()
    forever.set_result(None)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ClosedError] * 3
