"""Reads of other tasks while a transaction is open, in a file and in memory: at once, and of the state before."""

import asyncio
import contextlib
import gc
import json
import threading
from contextvars import Context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poof import PoofCluster
from poof.engines.sqlite.tables import log, rows, savepoints
from poof.engines.sqlite.tuning import DEFAULT
from poof.errors import ClosedError
from tests.support.people import KEY, collection, numbers

MANY = 3_000
"""Documents, of which to look at all exceeds every budget."""


def beside(coroutine):
    """A task that is not part of the transaction of the task that starts it, as any that was there before."""
    return asyncio.create_task(coroutine, context=Context())


async def by_id(people):
    return [(await people.find_by_id(people.known)).data["n"]]


async def find_all(people):
    return await numbers(people)


async def few(people):
    return [doc.data["n"] for doc in await people.find({"n": {"$lt": 7}}).to_list()]


async def many(people):
    return [doc.data["n"] for doc in await people.find({"text": {"$regex": "x"}, "n": {"$mod": [3, 1]}}).to_list()]


async def sorted_last(people):
    return [doc.data["n"] for doc in await people.find().sort("n", -1).limit(3).to_list()]


async def stream(people):
    return [doc.data["n"] async for doc in people.find()]


async def stream_of_few(people):
    return [doc.data["n"] async for doc in people.find({"n": {"$lt": 7}})]


async def stream_left_half_way(people):
    async for doc in people.find():
        return [doc.data["n"]]
    return []


async def count(people):
    return [await people.count_documents(), await people.count_documents({"n": {"$gt": 5}})]


async def distinct(people):
    return await people.distinct("n")


async def one(people):
    found = await people.find_one({"n": "new"})
    return [found and found.data["n"], await people.exists({"n": "new"})]


async def by_index(people):
    query = {"indexed": {"$gte": 1}}
    explained = await people.find(query).explain()
    found = [doc.data["n"] async for doc in people.find(query)]
    return [explained.index, explained.returned, await people.count_documents(query), *found]


async def names_of_indexes(people):
    return [index.name for index in await people.list_indexes()]


async def exported(people):
    await people.export_jsonl(people.target)
    lines = people.target.read_text().splitlines()
    people.target.unlink()
    return lines


async def names_of_collections(people):
    return await (await people.cluster.get_database("db")).list_collection_names()


READS = [
    by_id,
    find_all,
    few,
    many,
    sorted_last,
    stream,
    stream_of_few,
    stream_left_half_way,
    count,
    distinct,
    one,
    by_index,
    names_of_indexes,
    exported,
    names_of_collections,
]


@pytest.fixture
def many_people(cluster, people, tmp_path):
    """A cluster and a collection of many documents with an index."""

    @contextlib.asynccontextmanager
    async def opened():
        await people.insert_many({"n": n, "text": "x" * 50, "indexed": n % 500} for n in range(MANY))
        await people.create_index("indexed")
        people.known = (await people.find_one({"n": 5})).objId
        people.cluster, people.target = cluster, tmp_path / "exported.jsonl"
        yield cluster, people

    return opened


async def change_everything(people):
    await people.update(people.known, {"n": -5, "indexed": 7})
    await people.insert({"n": "new", "text": "x", "indexed": 3})
    await people.insert_many({"n": n + 0.5, "text": "x", "indexed": n} for n in range(40))
    await people.delete_many({"n": {"$mod": [10, 0]}})
    await people.create_index("n", name="second")
    await collection(people.cluster, "another")


async def read_all(people):
    """What each way of reading finds."""
    return {read.__name__: await read(people) for read in READS}


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "rolled back"])
async def test_others_see_the_state_before_and_the_block_its_own(many_people, fails):
    async with many_people() as (cluster, people):
        before = await read_all(people)
        with contextlib.suppress(ZeroDivisionError):
            async with cluster.transaction():
                assert await beside(read_all(people)) == before
                await change_everything(people)
                assert await beside(read_all(people)) == before
                inside = await read_all(people)
                async with cluster.transaction():
                    await people.insert({"n": -1})
                    assert await beside(read_all(people)) == before
                    await people.delete_one({"n": -1})
                assert await beside(read_all(people)) == before
                assert 1 // (not fails)
        assert await read_all(people) == (before if fails else inside)
        async with cluster.transaction():
            await people.insert({"n": -1})
            assert await beside(read_all(people)) == (before if fails else inside)


async def test_each_transaction_begins_from_what_the_one_before_left(cluster, people):
    for n in range(50):
        async with cluster.transaction():
            await people.insert({"n": n})
            assert await beside(numbers(people)) == list(range(n))
        if n % 20 == 7:
            await cluster.save()


async def test_others_read_while_many_documents_are_inserted(people):
    await people.insert({"n": "before"})

    async def documents():
        for n in range(500):
            if n % 50 == 0:
                assert await beside(numbers(people)) == ["before"]
            yield {"n": n}

    await people.insert_many(documents())
    assert await numbers(people) == ["before", *range(500)]


async def test_others_read_while_the_thread_writes(cluster, people):
    """The thread of the writer waits in the midst of a long change, until another task has read."""
    await people.insert_many({"n": n} for n in range(100))
    begun, go_on = threading.Event(), threading.Event()

    def change(connection):
        with savepoints.transaction(connection):
            connection.execute(f"DELETE FROM {table}")
            begun.set()
            go_on.wait()

    engine = cluster._engine._calls
    names = await engine.read(tables, quick=True)
    (table,) = [name for name in names if str(people._documents._id) in name]
    changing = asyncio.create_task(engine.write(change, long=True))
    await asyncio.to_thread(begun.wait)
    assert await numbers(people) == list(range(100))
    assert (await people.find_one({"n": 3})).data == {"n": 3}
    go_on.set()
    await changing
    assert await numbers(people) == []


def tables(connection):
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


async def test_a_cluster_is_verified_copied_and_measured_beside_a_transaction(many_people, tmp_path):
    async with many_people() as (cluster, people):
        before = await numbers(people)
        async with cluster.transaction():
            await change_everything(people)
            report = await beside(cluster.verify())
            assert (report.problems, report.documents) == ([], MANY)
            stats = await beside(cluster.stats())
            assert [it.documents for it in stats.collections] == [MANY]
            await beside(cluster.backup(tmp_path / "copy.poof"))
        async with await PoofCluster.create(tmp_path / "copy.poof", cluster.get_encryption_key()) as copy:
            assert await numbers(await collection(copy, "people")) == before
        assert (await cluster.verify()).problems == []


@pytest.mark.parametrize("rewrite", ["rotate", "compact", "save", "add_key", "rotate and remove_key"])
async def test_others_read_beside_a_transaction_after_the_file_was_rewritten(cluster, people, rewrite):
    await people.insert_many({"n": n} for n in range(300))
    async with cluster.transaction():
        await people.delete_many({"n": {"$lt": 100}})
        assert await beside(numbers(people)) == list(range(300))
    if "remove_key" in rewrite:
        await cluster.add_key()
        await cluster.rotate(remove_others=True)
    else:
        await getattr(cluster, rewrite)()
    for n in range(3):
        async with cluster.transaction():
            await people.insert({"n": n})
            assert await beside(numbers(people)) == [*range(100, 300), *range(n)]
            assert (await beside(people.find_one({"n": 299}))).data == {"n": 299}
            assert len(await beside(cluster.keys())) == 1 + (rewrite == "add_key")


# In memory, the log is never copied into the file while somebody reads beside the writer. A read that is held up shows
# who waits for whom.


class HeldRead:
    """A read of all documents on a thread, which begins, and goes on when it is told to."""

    def __init__(self, people):
        self._calls, self._id = people._engine._calls, people._documents._id
        self._begun, self._released = threading.Event(), threading.Event()

    async def begin(self):
        self._task = beside(self._calls.read(self._read, to_end=True))
        await asyncio.to_thread(self._begun.wait)
        return self

    def _read(self, connection):
        tables(connection)
        self._begun.set()
        self._released.wait()
        return [json.loads(text)["n"] for _, text in rows.scan(connection, self._id)]

    def release(self):
        self._released.set()
        return self._task


async def turns():
    """Time for other tasks and threads."""
    for _ in range(20):
        await asyncio.to_thread(int)


@pytest.fixture
def cluster_in_memory():
    """Opens a cluster in memory and a collection of it."""

    @contextlib.asynccontextmanager
    async def opened():
        async with await PoofCluster.create(":memory:", KEY) as cluster:
            yield cluster, await collection(cluster, "people")

    return opened


@pytest.mark.parametrize("copy", ["save", "compact", "rotate"])
async def test_a_long_read_stays_in_its_state_when_the_log_is_to_be_copied(cluster_in_memory, copy):
    async with cluster_in_memory() as (cluster, people):
        await people.insert_many({"n": n} for n in range(300))
        async with cluster.transaction():
            await people.update_many({}, {"$inc": {"n": 1}})
            held = await HeldRead(people).begin()
        copying = asyncio.create_task(getattr(cluster, copy)())
        await turns()
        assert await held.release() == list(range(300))
        await copying
        assert await numbers(people) == list(range(1, 301))


async def test_a_save_waits_for_a_read_and_reads_for_the_save_alone(cluster_in_memory):
    """Behind the save, a transaction waits in line that waits in turn for one of those reads."""
    async with cluster_in_memory() as (cluster, people):
        doc = await people.insert({"n": 1})
        held = await HeldRead(people).begin()
        saving = asyncio.create_task(cluster.save())
        await turns()
        has_read = asyncio.Event()
        waited = []

        async def wait_for_a_read():
            async with cluster.transaction():
                await people.update(doc.objId, {"n": 2})
                await has_read.wait()

        async def read():
            waited.append(saving.done())
            found = [await numbers(people), (await people.find_by_id(doc.objId)).data["n"]]
            waited.append(saving.done())
            has_read.set()
            return found

        transaction = asyncio.create_task(wait_for_a_read())
        reading = asyncio.create_task(read())
        await turns()
        were_done = saving.done() or transaction.done() or reading.done()
        assert await held.release() == [1]
        assert not were_done
        assert await reading == [[1], 1]
        await asyncio.gather(saving, transaction)
        assert waited == [False, True]
        assert await numbers(people) == [2]


async def test_a_long_read_does_not_line_up_behind_a_transaction(cluster_in_memory):
    """Which is about to begin, and will wait for it."""
    async with cluster_in_memory() as (cluster, people):
        await people.insert_many({"n": n} for n in range(100))
        has_read = asyncio.Event()

        async def wait_for_a_read():
            async with cluster.transaction():
                await people.insert({"n": 100})
                await has_read.wait()

        async def read():
            assert not cluster._engine._calls._writer.is_held
            assert not cluster._engine._calls._writer.is_idle
            assert await numbers(people) == list(range(100))
            has_read.set()

        await asyncio.gather(wait_for_a_read(), read())
        assert await numbers(people) == list(range(101))


async def test_a_checkpoint_is_put_off_for_a_read(cluster_in_memory):
    async with cluster_in_memory() as (cluster, people):
        checkpointer = cluster._engine._calls._checkpointer
        await people.insert({"n": 0})
        held = await HeldRead(people).begin()
        checkpointer._due = checkpointer._longest = 1
        await people.insert({"n": 1})
        await turns()
        longest = checkpointer._longest
        await people.insert({"n": 2})
        assert await held.release() == [0]
        assert longest > DEFAULT.log_frames  # it was not made, and is due when the log is longer
        assert await numbers(people) == [0, 1, 2]


async def test_a_save_that_is_cancelled_while_it_waits_holds_up_nobody(cluster_in_memory):
    async with cluster_in_memory() as (cluster, people):
        held = await HeldRead(people).begin()
        saving = asyncio.create_task(cluster.save())
        await turns()
        reading = asyncio.create_task(numbers(people))
        left = asyncio.create_task(numbers(people))
        await turns()
        saving.cancel()
        left.cancel()
        await asyncio.wait([saving, left])
        await held.release()
        assert await reading == []
        await people.insert({"n": 1})
        assert await numbers(people) == [1]


async def test_reads_that_are_cancelled_beside_a_transaction_end(cluster_in_memory):
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"

    def read(connection):
        return connection.execute(endless).get

    async with cluster_in_memory() as (cluster, people):
        async with cluster.transaction():
            await people.insert({"n": 1})
            tasks = [beside(cluster._engine._calls.read(read, quick=True)) for _ in range(3)]
            await turns()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert await beside(numbers(people)) == []
        await cluster.save()
        assert await numbers(people) == [1]


async def test_closing_ends_reads_and_the_transaction_beside_them():
    cluster = await PoofCluster.create(":memory:", KEY)
    people = await collection(cluster, "people")
    transaction = cluster.transaction()
    with pytest.raises(ClosedError):
        async with transaction:
            await people.insert({"n": 1})
            assert await beside(numbers(people)) == []
            held = await HeldRead(people).begin()
            closing = beside(cluster.close())
            await turns()
            was_done = closing.done()
            assert await held.release() == []
            assert not was_done
            await closing
    assert transaction.state == "rolled back"
    with pytest.raises(ClosedError):
        await people.find_all()


async def test_closing_waits_for_reads_that_wait_for_a_save():
    cluster = await PoofCluster.create(":memory:", KEY)
    people = await collection(cluster, "people")
    await people.insert_many({"n": n} for n in range(100))
    doc = await people.insert({"n": 100})
    held = await HeldRead(people).begin()
    saving = asyncio.create_task(cluster.save())
    await turns()
    reading = [asyncio.create_task(numbers(people)), asyncio.create_task(people.find_by_id(doc.objId))]
    await turns()
    closing = asyncio.create_task(cluster.close())
    await turns()
    assert await held.release() == list(range(101))
    assert await asyncio.gather(*reading) == [list(range(101)), doc]
    await asyncio.gather(saving, closing)


def test_a_cluster_that_is_left_open_in_a_transaction_leaves_nothing(run):
    async def whole():
        cluster = await PoofCluster.create(":memory:", KEY)
        people = await collection(cluster, "people")
        transaction = cluster.transaction()
        await transaction.__aenter__()
        await people.insert({"n": 1})
        assert await beside(numbers(people)) == []
        assert await beside(people.find_one()) is None

    run(whole())
    gc.collect()


# Several tasks at once, against the list of all states that were ever committed.

keys = st.integers(0, 60)
kinds = st.sampled_from(["by index", "all", "stream", "count", "filter", "first"])
writes = st.tuples(st.just("write"), keys, st.sampled_from([0, 10, 3_000, 20_000]))
steps = st.one_of(
    writes,
    writes,
    st.tuples(st.just("delete"), keys, st.just(0)),
    st.tuples(st.just("fill"), keys, st.just(0)),
    st.tuples(st.just("pause"), st.integers(1, 4), st.just(0)),
    st.tuples(st.just("read"), kinds, keys),
    st.tuples(st.just("other reads"), kinds, keys),
)
acts = st.one_of(
    st.tuples(st.just("transaction"), st.lists(steps, max_size=6), st.booleans()),
    st.tuples(st.just("transaction"), st.lists(steps, max_size=6), st.just(False)),
    st.tuples(st.just("read"), kinds, keys),
    st.tuples(st.just("read"), kinds, keys),
    st.tuples(st.just("pause"), st.integers(1, 6), st.just(0)),
    st.tuples(st.sampled_from(["save", "checkpoint", "compact"]), st.just(0), st.just(0)),
)
scripts = st.lists(st.lists(acts, min_size=1, max_size=6), min_size=2, max_size=4)


class World:
    """Documents {"k": key, "v": version}. Every transaction that is committed gets into `states` just before."""

    def __init__(self, cluster, people):
        self.cluster, self.people = cluster, people
        self.states = [{}]
        self.acknowledged = 0
        """The number of the last state whose transaction has ended."""
        self.version = 0

    async def look(self, kind, key):
        """What a read finds, and what it would find in a state."""
        people, query = self.people, {"k": {"$mod": [2, 0]}}
        if kind == "by index":
            found = await people.find_one({"k": key})
            return found and found.data["v"], lambda state: state.get(key)
        if kind == "count":
            return await people.count_documents(query), lambda state: sum(k % 2 == 0 for k in state)
        if kind == "first":
            found = [doc async for doc in people.find({"k": {"$gte": key}}).sort("k").limit(2)]
            return [doc.data["k"] for doc in found], lambda state: sorted(k for k in state if k >= key)[:2]
        if kind == "filter":
            found = await people.find(query).to_list()
            return as_state(found), lambda state: {k: v for k, v in state.items() if k % 2 == 0}
        found = await people.find_all() if kind == "all" else [doc async for doc in people.find()]
        return as_state(found), lambda state: state

    async def read(self, kind, key):
        start = self.acknowledged
        found, expected = await self.look(kind, key)
        assert found in [expected(state) for state in self.states[start:]]

    async def transaction(self, parts, fails):
        with contextlib.suppress(ZeroDivisionError):
            async with self.cluster.transaction():
                assert self.acknowledged == len(self.states) - 1
                draft = dict(self.states[-1])
                for kind, one, two in parts:
                    await self.change(draft, kind, one, two)
                assert 1 // (not fails)
                self.states.append(draft)
            self.acknowledged = len(self.states) - 1

    async def change(self, draft, kind, one, two):
        people = self.people
        if kind == "pause":
            for _ in range(one):
                await asyncio.sleep(0)
        elif kind == "read":
            found, expected = await self.look(one, two)
            assert found == expected(draft)
        elif kind == "other reads":
            found, expected = await beside(self.look(one, two))
            assert found == expected(self.states[-1])
        elif kind == "delete":
            await people.delete_many({"k": one})
            draft.pop(one, None)
        elif kind == "fill":
            missing = [k for k in range(one, 60) if k not in draft]
            self.version += 1
            await people.insert_many({"k": k, "v": self.version} for k in missing)
            draft.update(dict.fromkeys(missing, self.version))
        else:
            self.version += 1
            data = {"k": one, "v": self.version, "text": "x" * two}
            await people.update_one({"k": one}, {"$set": data}, upsert=True)
            draft[one] = self.version

    async def act(self, script):
        for kind, one, two in script:
            if kind == "transaction":
                await self.transaction(one, two)
            elif kind == "read":
                await self.read(one, two)
            elif kind == "pause":
                for _ in range(one):
                    await asyncio.sleep(0)
            elif kind == "checkpoint":
                with contextlib.suppress(TimeoutError):  # in a file, somebody may be reading
                    writer = self.cluster._engine._calls._writer
                    await writer.exclusive(log.restart_log, waits=False, renews_log=True)
            elif kind == "save":
                await self.cluster.save()
            else:
                await self.cluster.compact()


def as_state(documents):
    return {doc.data["k"]: doc.data["v"] for doc in documents}


async def act_out(where, tasks):
    async with await PoofCluster.create(where, KEY, cache_mib=1) as cluster:
        people = await collection(cluster, "people")
        await people.create_index("k", unique=True)
        world = World(cluster, people)
        await asyncio.gather(*(world.act(script) for script in tasks))
        assert as_state(await people.find_all()) == world.states[-1]
        assert (await cluster.verify()).problems == []


LIMITS = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=40, **LIMITS)
@given(tasks=scripts)
def test_tasks_see_only_what_was_committed(tasks):
    asyncio.run(act_out(":memory:", tasks))


@settings(max_examples=10, **LIMITS)
@given(tasks=scripts)
def test_tasks_see_only_what_was_committed_in_a_file(path, tasks):
    for file in path.parent.iterdir():
        file.unlink()
    asyncio.run(act_out(path, tasks))


@pytest.mark.campaign
@settings(max_examples=1_500, **LIMITS)
@given(tasks=scripts)
def test_tasks_see_only_what_was_committed_for_long(tasks):
    asyncio.run(act_out(":memory:", tasks))
