"""Writes: those of one tick share a commit, one that fails fails alone, and insert_many is all or nothing."""

import asyncio
import random

import pytest
from pydantic import BaseModel, ValidationError

from poof import InvalidDocumentError, LimitError
from poof.engines.sqlite.tables import batches
from poof.engines.sqlite.tuning import DEFAULT
from poof.errors import ReadOnlyError
from tests.support import inside
from tests.support.people import open_cluster


class User(BaseModel):
    name: str
    age: int


async def open_people(where, **options):
    cluster = await open_cluster(where, **options)
    return cluster, await (await cluster.get_database("db")).get_collection("people")


def numbers(documents):
    return [document.data["n"] for document in documents]


def count_commits(cluster):
    """Counts, from now on, the commits of a cluster by SQLite's own hook."""
    commits = []
    store = cluster._engine._calls._writer.store
    store._connection.set_wal_hook(lambda *args: commits.append(None) or store._count_frames(*args))
    return commits


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("count", [1, 2, DEFAULT.quick_writes, DEFAULT.quick_writes + 1, 1_000])
async def test_all_writes_of_one_tick_share_one_commit(where, count, durability):
    cluster, people = await open_people(where, durability=durability)
    async with cluster:
        await people.insert({"n": "first"})
        commits = count_commits(cluster)
        docs = await asyncio.gather(*(people.insert({"n": n}) for n in range(count)))
        assert len(commits) == 1
        assert numbers(docs) == list(range(count))
        await asyncio.gather(*(people.delete(doc.objId) for doc in docs))
        assert len(commits) == 2


async def test_writes_one_after_another_have_a_commit_each(where):
    cluster, people = await open_people(where)
    async with cluster:
        commits = count_commits(cluster)
        for n in range(10):
            await people.insert({"n": n})
        assert len(commits) == 10


async def test_writes_that_come_while_the_thread_is_busy_share_the_next_commit(where):
    cluster, people = await open_people(where)
    async with cluster:
        commits = count_commits(cluster)
        large = asyncio.create_task(people.insert({"text": "x" * 1_000_000}))
        later = []
        for _ in range(2):
            await asyncio.sleep(0)
        assert cluster._engine._calls._writer.is_held
        for n in range(5):
            later.append(asyncio.create_task(people.insert({"n": n})))
        await asyncio.gather(large, *later)
        assert len(commits) == 2


async def test_a_write_that_fails_in_a_group_fails_alone(where):
    cluster, people = await open_people(where)
    async with cluster:
        for n in range(9):
            await cluster.get_database(f"db {n}")
        results = await asyncio.gather(
            people.insert({"n": 1}),
            cluster._engine._calls.write(lambda connection: connection.execute("INSERT INTO nothing VALUES (1)")),
            *(cluster.get_database(f"more {n}") for n in range(3)),
            people.insert({"n": 2}),
            return_exceptions=True,
        )
        assert [isinstance(result, Exception) for result in results] == [False, True, True, True, True, False]
        assert all(isinstance(result, LimitError) for result in results[2:5])
        assert numbers(await people.find_all()) == [1, 2]


async def test_a_write_that_fails_half_way_leaves_nothing_of_itself_in_its_group(where):
    def insert_two_and_fail(connection, table):
        from poof.engines.sqlite.tables.savepoints import transaction

        with transaction(connection):
            for name in ("x" * 20, "y" * 20):
                connection.execute(f"INSERT INTO documents_{table} (obj_id, doc) VALUES (?, '{{}}')", (name,))
            raise ZeroDivisionError

    cluster, people = await open_people(where)
    async with cluster:
        results = await asyncio.gather(
            people.insert({"n": 1}),
            cluster._engine._calls.write(insert_two_and_fail, people._documents._id),
            people.insert({"n": 2}),
            return_exceptions=True,
        )
        assert isinstance(results[1], ZeroDivisionError)
        assert numbers(await people.find_all()) == [1, 2]


@pytest.mark.every_engine
async def test_writes_are_made_in_the_order_in_which_they_were_called(where):
    cluster, people = await open_people(where)
    async with cluster:
        doc = await people.insert({"n": -1})
        sizes = [1, 100_000, 1, 50, 200_000, 1]
        await asyncio.gather(*(people.update(doc.objId, {"n": n, "text": "x" * size}) for n, size in enumerate(sizes)))
        assert (await people.find_by_id(doc.objId)).data["n"] == len(sizes) - 1
        await asyncio.gather(*(people.insert({"n": n}) for n in range(200)))
        assert numbers(await people.find_all())[1:] == list(range(200))


@pytest.mark.every_engine
async def test_every_one_of_1000_concurrent_writes_gets_its_own_result(where):
    cluster, people = await open_people(where)
    async with cluster:
        kept = [await people.insert({"n": n}) for n in range(100)]
        rng = random.Random(2)
        expected = {doc.objId: doc.data for doc in kept}
        calls, results = [], []
        for n in range(1_000):
            kind = rng.choice(["insert", "update", "delete", "miss"])
            if kind == "insert":
                calls.append(people.insert({"n": n, "new": True}))
                results.append(("insert", n))
            elif kind == "miss":
                calls.append(people.delete("unknown" * 2) if n % 2 else people.update("unknown" * 2, {}))
                results.append(("miss", n))
            elif expected:
                obj_id = rng.choice(list(expected))
                if kind == "update":
                    expected[obj_id] = {"n": n}
                    calls.append(people.update(obj_id, {"n": n}))
                else:
                    del expected[obj_id]
                    calls.append(people.delete(obj_id))
                results.append((kind, obj_id, n))
        for (kind, *rest), result in zip(results, await asyncio.gather(*calls), strict=True):
            if kind == "insert":
                assert result.data == {"n": rest[0], "new": True}
                expected[result.objId] = result.data
            elif kind == "miss":
                assert not result
            elif kind == "update":
                assert (result.objId, result.data) == (rest[0], {"n": rest[1]})
            else:
                assert result is True
        assert {doc.objId: doc.data for doc in await people.find_all()} == expected


async def asynchronously(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


COUNTS = [0, 1, DEFAULT.chunk_documents, DEFAULT.chunk_documents + 1, 2 * DEFAULT.batch_documents + 1]
FORMS = {"list": list, "tuple": tuple, "generator": iter, "async generator": asynchronously}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_insert_many_stores_everything_in_order(where, form, count):
    cluster, people = await open_people(where)
    async with cluster:
        commits = count_commits(cluster)
        result = await people.insert_many(form([{"n": n} for n in range(count)]))
        assert len(commits) == (1 if count else 0)
        docs = await people.find_all()
        assert numbers(docs) == list(range(count))
        assert [doc.objId for doc in docs] == list(result.inserted_ids)


@pytest.mark.every_engine
@pytest.mark.parametrize("bad", [0, 1, DEFAULT.chunk_documents, 1_500, 2_999])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_one_item_that_cannot_be_stored_fails_the_whole_insert_many(where, form, bad):
    cluster, people = await open_people(where)
    async with cluster:
        await people.insert({"n": "before"})
        with pytest.raises(InvalidDocumentError):
            await people.insert_many(form([{"n": float("nan") if n == bad else n} for n in range(3_000)]))
        await people.insert({"n": "after"})
        assert numbers(await people.find_all()) == ["before", "after"]


@pytest.mark.every_engine
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_iterator_that_fails_fails_the_whole_insert_many(where, asynchronous):
    def items():
        yield from ({"n": n} for n in range(1_000))
        raise ZeroDivisionError

    cluster, people = await open_people(where)
    async with cluster:
        with pytest.raises(ZeroDivisionError):
            await people.insert_many(asynchronously(items()) if asynchronous else items())
        await people.insert({"n": "after"})
        assert numbers(await people.find_all()) == ["after"]


@pytest.mark.every_engine
async def test_what_is_no_iterable_is_refused_by_insert_many(where):
    cluster, people = await open_people(where)
    async with cluster:
        for data in (5, None):
            with pytest.raises(TypeError):
                await people.insert_many(data)
        for data in ("text", {"a": 1}):
            with pytest.raises(InvalidDocumentError):
                await people.insert_many(data)
        await people.insert({"n": 1})
        assert numbers(await people.find_all()) == [1]


@pytest.mark.every_engine
async def test_insert_many_checks_the_model_of_the_collection(where):
    cluster, _ = await open_people(where)
    async with cluster:
        users = await (await cluster.get_database("db")).get_collection("users", model=User)
        result = await users.insert_many([User(name="Alice", age=25), {"name": "Bob", "age": 26}])
        with pytest.raises(ValidationError):
            await users.insert_many([User(name="Carol", age=27), {"name": "Dan"}])
        docs = await users.find_all()
        assert [doc.model for doc in docs] == [User(name="Alice", age=25), User(name="Bob", age=26)]
        assert [doc.objId for doc in docs] == list(result.inserted_ids)


@pytest.mark.every_engine
async def test_insert_many_in_a_transaction_belongs_to_it(where):
    cluster, people = await open_people(where)
    async with cluster:
        with pytest.raises(ZeroDivisionError):
            async with cluster.transaction():
                await people.insert_many({"n": n} for n in range(500))
                raise ZeroDivisionError
        assert await people.find_all() == []
        async with cluster.transaction():
            await people.insert({"n": "first"})
            with pytest.raises(InvalidDocumentError):
                await people.insert_many([{"n": 1}, {"n": b""}])
            await people.insert_many([{"n": "last"}])
        assert numbers(await people.find_all()) == ["first", "last"]


@pytest.mark.every_engine
async def test_an_insert_many_that_is_cancelled_half_way_stores_nothing(where):
    cluster, people = await open_people(where)
    async with cluster:
        half_way = asyncio.Event()

        async def items():
            for n in range(1_000):
                yield {"n": n}
            half_way.set()
            await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(people.insert_many(items()))
        await half_way.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await people.insert({"n": "after"})
        assert numbers(await people.find_all()) == ["after"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_other_tasks_go_on_during_a_large_insert_many(path, form):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": "before"})
        reads = turns = 0

        async def read():
            nonlocal reads
            while True:
                assert await people.find_by_id(doc.objId) == doc
                assert numbers(await people.find_all()) == ["before"]
                reads += 1

        async def turn():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        others = [asyncio.create_task(read()), asyncio.create_task(turn())]
        await people.insert_many(form([{"n": n} for n in range(2_000)]))
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        assert all(other.cancelled() for other in others)
        assert reads >= 1  # how many is a matter of the machine
        assert turns >= 2_000 // DEFAULT.batch_documents


@pytest.mark.every_engine
async def test_other_tasks_writes_come_after_an_insert_many(where):
    cluster, people = await open_people(where)
    async with cluster:
        half_way = asyncio.Event()

        async def items():
            for n in range(1_000):
                if n == 500:
                    half_way.set()
                yield {"n": n}
                await asyncio.sleep(0)

        many = asyncio.create_task(people.insert_many(items()))
        await half_way.wait()
        await people.insert({"n": "other"})
        assert many.done()
        assert numbers(await people.find_all()) == [*range(1_000), "other"]


async def test_a_bulk_of_many_documents_is_not_committed_on_the_event_loop(path):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert({"n": 1})
        async with cluster.transaction() as transaction:
            await people.insert_many([{"n": n} for n in range(5_000)])
            assert not transaction._may_commit_quick()


@pytest.mark.parametrize("call", ["insert", "update", "delete", "insert_many"])
async def test_a_cluster_opened_read_only_writes_nothing(path, key, call):
    cluster, people = await open_people(path, key=key)
    async with cluster:
        doc = await people.insert({"n": 1})
    cluster, people = await open_people(path, key=key, read_only=True)
    async with cluster:
        arguments = {"insert": [{}], "update": [doc.objId, {}], "delete": [doc.objId], "insert_many": [[{}]]}
        with pytest.raises(ReadOnlyError):
            await getattr(people, call)(*arguments[call])
        assert await people.find_all() == [doc]


async def test_items_of_an_iterator_are_gathered_by_their_size(where):
    """However large they are, only a few of them are in memory at a time."""
    cluster, people = await open_people(where)
    made, stored, ahead = 0, 0, []
    insert_batch = batches.insert_batch

    def items(count, size):
        nonlocal made
        for n in range(count):
            made += 1
            ahead.append(made - stored)
            yield {"n": n, "text": "x" * size}

    def noted(*args, **named):
        nonlocal stored
        result = insert_batch(*args, **named)
        stored = made
        return result

    async with cluster:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "insert_batch", noted)
            await people.insert_many(items(60, DEFAULT.chunk_bytes // 4))
            assert max(ahead[: DEFAULT.first_batch_documents]) == DEFAULT.first_batch_documents
            assert max(ahead[DEFAULT.first_batch_documents :]) <= 4
            ahead.clear()
            await people.insert_many(items(1_000, 10))
            assert max(ahead) == DEFAULT.chunk_documents
        assert len(await people.find_all()) == 1_060


@pytest.mark.every_engine
async def test_a_task_that_only_writes_lets_other_tasks_run(where):
    cluster, people = await open_people(where)
    async with cluster:
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                await asyncio.sleep(0.000_001)  # a timer, so that nothing is ready in between
                turns += 1

        ticker = asyncio.create_task(turn())
        for n in range(20 * DEFAULT.writes_a_turn):
            await people.insert({"n": n})
        assert turns >= 15
        ticker.cancel()


async def test_a_write_that_is_alone_is_committed_before_the_loop_turns(path, monkeypatch):
    inside.tune(monkeypatch, writing_time=3600)
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert({"n": 0})
        turned = False

        def turn():
            nonlocal turned
            turned = True

        commits = count_commits(cluster)
        for n in range(1, DEFAULT.writes_a_turn - 1):
            asyncio.get_running_loop().call_later(0, turn)
            await people.insert({"n": n})
            assert len(commits) == n
        assert not turned


async def test_writes_that_take_long_let_others_run(path, monkeypatch):
    inside.tune(monkeypatch, writing_time=0)
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert({"n": 0})
        turned = []
        for n in (1, 2):  # the first is committed at once, the second waits for its turn
            asyncio.get_running_loop().call_later(0, turned.append, n)
            await people.insert({"n": n})
        assert 1 in turned
