"""Reads of one turn of the event loop share a snapshot, which is never older than the last commit anywhere."""

import asyncio
import gc
import os
import sys

import pytest

from poof.engines.sqlite.tuning import DEFAULT
from poof.engines.sqlite.turns import snapshots
from tests.support import inside
from tests.support.people import KEY, PROGRAM, names, open_people

OTHER = """
async def main():
    cluster, people = await open_people()
    for line in sys.stdin:
        obj_id, number = line.split()
        if number == "save":
            await cluster.save()
        elif number == "read":
            print((await people.find_by_id(obj_id)).data["n"], flush=True)
            continue
        else:
            await people.update(obj_id, {"n": int(number)})
        print("done", flush=True)
    await cluster.close()

asyncio.run(main())
"""


@pytest.fixture
def other(path, start_python):
    """Starts another process on the file; returns what tells it to do something, and waits within the turn."""

    def start():
        process = start_python(PROGRAM + OTHER, path, KEY, cwd=path.parent)

        def tell(obj_id, what):
            process.stdin.write(f"{obj_id} {what}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        return tell

    return start


@pytest.fixture(autouse=True)
def every_read_is_quick(monkeypatch):
    """On a slow machine too."""
    inside.tune(monkeypatch, quick_pause=3600)


def snapshot_of(cluster):
    return cluster._engine._calls._writer.snapshot


async def read_until_shared(cluster, people, obj_id):
    """Reads until the last read was in an open snapshot, within this turn; returns what it saw."""
    for _ in range(2 * DEFAULT.reads_a_turn):
        document = await people.find_by_id(obj_id)
        if snapshot_of(cluster)._is_open:
            return document.data["n"]
    raise AssertionError("no snapshot was opened")


async def test_reads_that_follow_each_other_share_a_snapshot_until_the_turn_ends(path):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 1})
        assert await read_until_shared(cluster, people, doc.objId) == 1
        assert cluster._engine._calls._writer.store.in_transaction
        await asyncio.sleep(0)
        assert not cluster._engine._calls._writer.store.in_transaction


async def test_reads_that_are_far_apart_open_no_snapshot(path, monkeypatch):
    inside.tune(monkeypatch, quick_pause=0)
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 1})
        for _ in range(2 * DEFAULT.patience[1]):
            await people.find_by_id(doc.objId)
            assert not snapshot_of(cluster)._is_open


async def test_snapshots_that_serve_few_reads_become_rare_until_they_serve_many(path):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 1})
        opened = 0
        for _ in range(1_000):
            await people.find_by_id(doc.objId)
            opened += snapshot_of(cluster)._is_open
            await asyncio.sleep(0)
        assert 0 < opened < 50

        # In a row they serve many again, wherever in a turn the first of these is.
        for reads in range(DEFAULT.reads_a_turn):
            snapshot_of(cluster)._patience, snapshot_of(cluster)._quick = DEFAULT.patience[1], 0
            cluster._engine._calls._reads = reads
            for _ in range(3 * DEFAULT.reads_a_turn):
                await people.find_by_id(doc.objId)
            assert snapshot_of(cluster)._patience == DEFAULT.patience[0]


async def test_a_read_sees_what_another_process_committed_in_the_same_turn(path, other):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 0})
        tell = other()
        for number in range(1, 30):
            assert await read_until_shared(cluster, people, doc.objId) == number - 1
            assert tell(doc.objId, number) == "done"
            assert (await people.find_by_id(doc.objId)).data["n"] == number


async def test_a_read_sees_what_another_cluster_of_the_process_committed_in_the_same_turn(path):
    cluster, people = await open_people(path)
    second, others = await open_people(path)
    async with cluster, second:
        doc = await people.insert({"n": 0})
        for number in range(1, 30):
            assert await read_until_shared(cluster, people, doc.objId) == number - 1
            await others.update(doc.objId, {"n": number})
            assert (await people.find_by_id(doc.objId)).data["n"] == number


async def test_a_write_after_shared_reads_is_committed_at_once(path, other):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 0})
        tell = other()
        for number in range(1, 30):
            await read_until_shared(cluster, people, doc.objId)
            await people.update(doc.objId, {"n": number})
            assert tell(doc.objId, "read") == str(number)


async def test_every_kind_of_call_works_right_after_shared_reads(path):
    cluster, people = await open_people(path)
    database = await cluster.get_database("db")
    async with cluster:
        doc = await people.insert({"n": 1, "text": "x"})

        async def transaction():
            async with cluster.transaction():
                await people.update(doc.objId, {"n": 1})
                assert (await people.find_by_id(doc.objId)).data == {"n": 1}

        async def stream():
            assert [found async for found in people.find() if found.objId == doc.objId]

        calls = [
            lambda: people.insert({"n": 2}),
            lambda: people.insert({"text": "x" * 200_000}),
            lambda: people.insert_many([{"n": 3}] * 3),
            lambda: people.find_all(),
            lambda: database.get_collection("others"),
            lambda: asyncio.gather(*(people.insert({"n": n}) for n in range(200))),
            cluster.save,
            transaction,
            stream,
        ]
        for call in calls:
            await read_until_shared(cluster, people, doc.objId)
            await asyncio.wait_for(call(), 10)
            assert not cluster._engine._calls._writer.store.in_transaction or snapshot_of(cluster)._is_open


async def test_neither_save_of_any_process_waits_for_reads_of_an_earlier_turn(path, other):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 0})
        tell = other()
        log = path.with_name(f"{path.name}-wal")
        for number in range(1, 4):
            await people.update(doc.objId, {"n": number})
            assert await read_until_shared(cluster, people, doc.objId) == number
            await asyncio.sleep(0)
            assert tell(doc.objId, "save") == "done"
            assert log.stat().st_size == 0
            await people.update(doc.objId, {"n": number})
            await read_until_shared(cluster, people, doc.objId)
            await cluster.save()
            assert log.stat().st_size == 0


async def test_reads_that_fail_in_a_shared_snapshot_leave_it_usable(path):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 1})
        large = await people.insert({"text": "x" * 100_000})
        await read_until_shared(cluster, people, doc.objId)
        assert await people.find_by_id(large.objId) == large
        await read_until_shared(cluster, people, doc.objId)
        cluster._engine._calls._writer.store._connection.execute("ROLLBACK")  # as SQLite does where the file fails
        assert await people.find_by_id(doc.objId) == doc
        await people.update(doc.objId, {"n": 2})
        assert await read_until_shared(cluster, people, doc.objId) == 2


@pytest.mark.parametrize("options", [{}, {"exclusive": True}, {"read_only": True}])
async def test_where_a_snapshot_cannot_be_shared_reads_are_as_ever(path, options, monkeypatch):
    """With no options: where SQLite's memory is not found as it is expected."""
    monkeypatch.setattr(snapshots, "_VERSION", 1)
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 1})
    cluster, people = await open_people(path, **options)
    async with cluster:
        for _ in range(2 * DEFAULT.patience[1]):
            assert await people.find_by_id(doc.objId) == doc
            assert not cluster._engine._calls._writer.store.in_transaction


async def test_a_cluster_is_closed_right_after_shared_reads(path):
    cluster, people = await open_people(path)
    doc = await people.insert({"n": 1})
    await read_until_shared(cluster, people, doc.objId)
    await cluster.close()
    assert names(path) == ["cluster.poof"]


def test_a_cluster_is_dropped_right_after_shared_reads(run, path):
    async def story():
        async def use():
            cluster, people = await open_people(path)
            doc = await people.insert({"n": 1})
            await read_until_shared(cluster, people, doc.objId)

        await use()
        for _ in range(5):
            gc.collect()
            await asyncio.sleep(0)

    run(story())
    gc.collect()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_fork_right_after_shared_reads_harms_nothing(path, other):
    cluster, people = await open_people(path)
    async with cluster:
        doc = await people.insert({"n": 1})
        assert await read_until_shared(cluster, people, doc.objId) == 1
        child = os.fork()
        if child == 0:
            snapshot_of(cluster)._end_turn(None)
            os._exit(snapshot_of(cluster)._is_open is False)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert other()(doc.objId, 2) == "done"
        assert (await people.find_by_id(doc.objId)).data["n"] == 2
        await people.update(doc.objId, {"n": 3})
