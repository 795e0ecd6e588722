"""Transactions: everything that a task does in the block, or nothing; alone, nested, beside others."""

import asyncio

import pytest

from poof import PoofCluster, PoofError
from poof.errors import TransactionError
from tests.support.people import collection, numbers

pytestmark = pytest.mark.every_engine


async def test_a_block_that_ends_is_committed(cluster, people):
    transaction = cluster.transaction()
    assert transaction.state == "new"
    async with transaction as entered:
        assert entered is transaction
        assert transaction.state == "open"
        doc = await people.insert({"n": 1})
        await people.update(doc.objId, {"n": 2})
    assert transaction.state == "committed"
    assert await numbers(people) == [2]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError, asyncio.CancelledError, GeneratorExit])
async def test_an_exception_rolls_the_block_back(cluster, people, error):
    kept = await people.insert({"n": "kept"})
    with pytest.raises(error):
        async with cluster.transaction() as transaction:
            await people.insert({"n": "new"})
            await people.update(kept.objId, {"n": "changed"})
            await people.delete(kept.objId)
            raise error
    assert transaction.state == "rolled back"
    assert await people.find_all() == [kept]
    await people.insert({"n": "after"})
    assert await numbers(people) == ["kept", "after"]


async def test_a_block_reads_its_own_writes(cluster, people):
    async with cluster.transaction():
        doc = await people.insert({"n": 1})
        large = await people.insert({"text": "x" * 100_000})
        assert await people.find_by_id(doc.objId) == doc
        assert await people.find_by_id(large.objId) == large
        await people.update(doc.objId, {"n": 2})
        assert (await people.find_by_id(doc.objId)).data == {"n": 2}
        assert await people.delete(large.objId)
        assert await people.find_by_id(large.objId) is None
        await people.insert_many({"n": n} for n in range(100))
        assert len(await people.find_all()) == 101


@pytest.mark.parametrize("fails", [False, True])
async def test_a_block_is_over_all_databases_and_collections(cluster, people, fails):
    places = [people, await collection(cluster, "pets"), await collection(cluster, "people", "other")]
    try:
        async with cluster.transaction():
            for n, place in enumerate(places):
                await place.insert({"n": n})
            assert 1 // (not fails)
    except ZeroDivisionError:
        pass
    assert [await numbers(place) for place in places] == ([[], [], []] if fails else [[0], [1], [2]])


async def test_a_collection_created_in_a_block_that_fails_was_never_there(cluster):
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            for n in range(9):
                new = await collection(cluster, "new", f"database {n}")
                await new.insert({"n": 1})
            raise ZeroDivisionError
    for n in range(9):
        assert await numbers(await collection(cluster, "new", f"another {n}")) == []


async def test_a_nested_block_that_fails_undoes_only_itself(cluster, people):
    async with cluster.transaction() as outer:
        await people.insert({"n": 1})
        with pytest.raises(ZeroDivisionError):
            async with cluster.transaction() as inner:
                await people.insert({"n": 2})
                async with cluster.transaction() as innermost:
                    await people.insert({"n": 3})
                raise ZeroDivisionError
        async with cluster.transaction() as second:
            await people.insert({"n": 4})
        await people.insert({"n": 5})
    assert [it.state for it in (outer, inner, innermost, second)] == [
        "committed",
        "rolled back",
        "committed",  # to the block around it, which failed
        "committed",
    ]
    assert await numbers(people) == [1, 4, 5]


async def test_a_nested_block_is_undone_with_the_one_around_it(cluster, people):
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            async with cluster.transaction():
                await people.insert({"n": 1})
            raise ZeroDivisionError
    assert await numbers(people) == []


@pytest.mark.parametrize("calls", range(45, 53))
async def test_a_nested_block_cancelled_at_its_edge_is_what_its_state_says(cluster, people, calls):
    """A task in a transaction lets others run after every so many calls. Cancelled there, a nested block must neither
    be half begun nor half ended."""
    async with cluster.transaction():
        for n in range(calls - 3):
            await people.insert({"n": n})
        with pytest.raises(ZeroDivisionError):
            async with cluster.transaction():
                await people.insert({"n": "middle"})
                inner = cluster.transaction()
                try:
                    async with asyncio.timeout(0), inner:
                        await people.insert({"n": "inner"})
                except TimeoutError:
                    assert inner.state in ("new", "rolled back")
                raise ZeroDivisionError
        assert await numbers(people) == list(range(calls - 3))
    assert await numbers(people) == list(range(calls - 3))


async def test_others_read_the_state_before_and_write_afterwards(cluster, people):
    doc = await people.insert({"n": "before"})
    events = []
    read = asyncio.Event()

    async def other():
        assert await people.find_by_id(doc.objId) == doc
        assert await people.find_all() == [doc]
        assert [it async for it in people.find()] == [doc]
        events.append("read")
        read.set()
        await people.insert({"n": "other"})
        events.append("written")

    task = asyncio.create_task(other())
    async with cluster.transaction():
        await people.update(doc.objId, {"n": "changed"})
        await people.insert({"n": "new"})
        await read.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        events.append("committed")
    await task
    assert events == ["read", "committed", "written"]
    assert await numbers(people) == ["changed", "new", "other"]


async def test_transactions_of_several_tasks_come_one_after_another(cluster, people):
    doc = await people.insert({"n": 0})

    async def add():
        async with cluster.transaction():
            n = (await people.find_by_id(doc.objId)).data["n"]
            await asyncio.sleep(0)
            await people.update(doc.objId, {"n": n + 1})

    await asyncio.gather(*(add() for _ in range(100)))
    assert (await people.find_by_id(doc.objId)).data["n"] == 100


@pytest.mark.parametrize("call", ["insert", "find_by_id", "find_all", "find", "insert_many", "transaction", "save"])
async def test_a_task_started_in_a_block_gets_an_error(cluster, people, call):
    async def child():
        if call == "find":
            return [doc async for doc in people.find()]
        if call == "transaction":
            async with cluster.transaction():
                return None
        if call == "save":
            return await cluster.save()
        arguments = {"insert": [{}], "find_by_id": ["x" * 12], "insert_many": [[{}]], "find_all": []}
        return await getattr(people, call)(*arguments[call])

    async with cluster.transaction():
        await people.insert({"n": 1})
        (error,) = await asyncio.gather(child(), return_exceptions=True)
        assert isinstance(error, TransactionError)
        with pytest.raises(TransactionError):
            await asyncio.create_task(child())
        await people.insert({"n": 2})
    assert await numbers(people) == [1, 2]


async def test_a_task_that_outlives_the_block_it_was_started_in_works(cluster, people):
    ended = asyncio.Event()

    async def child():
        await ended.wait()
        async with cluster.transaction():
            await people.insert({"n": "child"})
        return await numbers(people)

    async with cluster.transaction():
        task = asyncio.create_task(child())
        await people.insert({"n": "parent"})
    ended.set()
    assert await task == ["parent", "child"]


async def test_a_coroutine_awaited_in_a_block_is_part_of_it(cluster, people):
    async def helper():
        await people.insert({"n": 1})

    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            async with asyncio.timeout(60):
                await helper()
            raise ZeroDivisionError
    assert await numbers(people) == []


async def test_a_transaction_is_used_once(cluster, people):
    transaction = cluster.transaction()
    async with transaction:
        with pytest.raises(TransactionError):
            async with transaction:
                pass
        await people.insert({"n": 1})
    with pytest.raises(TransactionError):
        async with transaction:
            pass
    assert await numbers(people) == [1]


async def test_two_tasks_cannot_use_one_transaction(cluster, people):
    transaction = cluster.transaction()

    async def use(n):
        async with transaction:
            await people.insert({"n": n})

    results = await asyncio.gather(use(1), use(2), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), TransactionError]
    await people.insert({"n": 3})
    assert await numbers(people) == [1, 3]


async def test_save_in_a_block_is_refused(cluster, people):
    async with cluster.transaction():
        await people.insert({"n": 1})
        with pytest.raises(TransactionError):
            await cluster.save()
    await cluster.save()
    assert await numbers(people) == [1]


async def test_blocks_of_two_clusters_are_independent(tmp_path):
    one, other = [await PoofCluster.create(tmp_path / name) for name in ("one.poof", "other.poof")]
    people, pets = await collection(one, "people"), await collection(other, "pets")
    async with one, other:
        with pytest.raises(ZeroDivisionError):
            async with one.transaction():
                await people.insert({"n": 1})
                async with other.transaction():
                    await pets.insert({"n": 2})
                    async with one.transaction():
                        await people.insert({"n": 3})
                raise ZeroDivisionError
        assert (await numbers(people), await numbers(pets)) == ([], [2])


async def test_a_collection_of_a_block_that_failed_never_becomes_another_one(cluster):
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            ghost = await collection(cluster, "ghost")
            raise ZeroDivisionError
    with pytest.raises(PoofError):
        await ghost.insert({"n": "nowhere"})
    real = await collection(cluster, "real")
    with pytest.raises(PoofError):
        await ghost.insert({"n": "nowhere"})
    assert await numbers(real) == []
