"""When expired documents are swept, what a sweep waits for, and how it ends."""

import asyncio
import datetime
import logging
from datetime import timedelta

import pytest

from poof.engines.sqlite import expiry
from tests.support import inside
from tests.support.index_entries import check_entries
from tests.support.people import KEY, PROGRAM, open_people

NOW = datetime.datetime.now(datetime.UTC)
HOUR = timedelta(hours=1)
OLD = NOW - 2 * HOUR
NEW = NOW + HOUR
LATER = "9"
"""A limit beyond every time."""


async def until(condition):
    """Waits, at most for ten seconds, until an async function says that something is so."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in the file
            await asyncio.sleep(0.01)


@pytest.fixture
def calm(monkeypatch):
    """No sweep but those that the test makes itself."""
    monkeypatch.setattr(expiry.Expiry, "start", lambda self: None)


@pytest.fixture
def quick(monkeypatch):
    """Sweeps one after the other."""
    inside.tune(monkeypatch, sweep_interval=0.01)


async def test_expired_documents_go_soon_after_the_index_is_created(people):
    await people.insert_many([{"t": OLD}, {"t": NEW}])
    await people.create_index("t", expire_after=HOUR)

    async def is_gone():
        return await people.count_documents() == 1

    await until(is_gone)


async def test_expired_documents_go_when_the_cluster_is_opened(path, monkeypatch):
    async def write():
        cluster, people = await open_people(path)
        async with cluster:
            await people.create_index("t", expire_after=HOUR)
            await people.insert_many([{"t": OLD, "name": "old"}, {"t": NEW, "name": "new"}])

    async def count(**options):
        cluster, people = await open_people(path, **options)
        async with cluster:

            async def is_gone():
                return await people.count_documents() == 1

            if not options:
                await until(is_gone)
            for _ in range(50):
                await asyncio.sleep(0)
            return await people.count_documents()

    with monkeypatch.context() as patch:
        patch.setattr(expiry.Expiry, "start", lambda self: None)
        await write()
    assert await count(read_only=True) == 2
    assert await count() == 1


async def test_expired_documents_go_again_and_again(quick, people):
    await people.create_index("t", expire_after=HOUR)

    async def is_gone():
        return await people.count_documents() == 0

    for _ in range(3):
        await people.insert({"t": OLD})
        await until(is_gone)


async def test_nothing_is_swept_without_a_ttl_index(quick, people):
    await people.insert({"t": OLD})
    await people.create_index("t")
    await asyncio.sleep(0.05)
    assert inside.sweeper(people)._task is None
    assert await people.count_documents() == 1


async def test_after_the_index_is_dropped_nothing_expires(quick, people):
    await people.create_index("t", expire_after=HOUR)
    await people.drop_index("t_1")
    await people.insert({"t": OLD})
    await asyncio.sleep(0.05)
    assert await people.count_documents() == 1


@pytest.mark.parametrize("what", ["index", "collection"])
async def test_what_is_dropped_during_a_sweep_is_not_swept(calm, people, what):
    await people.create_index("t", expire_after=HOUR)
    await people.insert_many([{"t": OLD}] * 3)
    engine, find = people._engine._calls, expiry.find_expired
    (index,) = await engine.read(expiry.find_expiring, quick=True)
    numbers = await engine.read(find, index, LATER, quick=True)
    assert len(numbers) == 3
    await (people.drop_index("t_1") if what == "index" else people.drop())
    assert await engine.read(find, index, LATER, quick=True) == []
    await engine.write(expiry.delete_expired, index, numbers, LATER, long=True)
    assert await inside.sweeper(people)._sweep() is False
    if what == "index":
        assert await people.count_documents() == 3


async def test_a_document_that_was_changed_meanwhile_stays(calm, people):
    await people.create_index("t", expire_after=HOUR, where={"temporary": True})
    await people.insert_many([{"name": name, "t": OLD, "temporary": True} for name in "abcd"])
    (index,) = await people._engine._calls.read(expiry.find_expiring, quick=True)
    numbers = await people._engine._calls.read(expiry.find_expired, index, LATER, quick=True)
    await people.update_one({"name": "a"}, {"$set": {"t": NEW}})
    await people.update_one({"name": "b"}, {"$set": {"temporary": False}})
    await people.delete_one({"name": "c"})
    limit = expiry._limit(index.definition, NOW)
    await people._engine._calls.write(expiry.delete_expired, index, numbers, limit, long=True)
    assert [doc.data["name"] for doc in await people.find_all()] == ["a", "b"]


def test_a_transaction_of_another_task_is_waited_for(story, quick, caplog):
    async def waited_for(cluster, people):
        await people.create_index("t", expire_after=HOUR)
        async with cluster.transaction():
            await people.insert({"t": OLD})
            await asyncio.sleep(0.05)
            assert await people.count_documents() == 1

        async def is_gone():
            return await people.count_documents() == 0

        await until(is_gone)

    with caplog.at_level(logging.WARNING):
        story(waited_for)
    assert not caplog.records


def test_an_index_of_a_transaction_is_swept_after_its_end(story, caplog):
    async def after_its_end(cluster, people):
        await people.insert_many([{"t": OLD}, {"t": NEW}])
        async with cluster.transaction():
            await people.create_index("t", expire_after=HOUR)
            await asyncio.sleep(0.02)
            assert await people.count_documents() == 2

        async def is_gone():
            return await people.count_documents() == 1

        await until(is_gone)

    with caplog.at_level(logging.WARNING):
        story(after_its_end)
    assert not caplog.records


async def test_an_index_that_is_created_during_a_sweep_is_not_forgotten(people, monkeypatch):
    await people.insert_many([{"t": OLD}, {"t": NEW}])
    sweeper = inside.sweeper(people)
    sweep = sweeper._sweep

    async def sweep_and_create():
        goes_on = await sweep()
        await people.create_index("t", expire_after=HOUR)
        return goes_on

    monkeypatch.setattr(sweeper, "_sweep", sweep_and_create)
    people._engine._calls.expect_expiry()  # and it finds none

    async def is_gone():
        return await people.count_documents() == 1

    await until(is_gone)


async def test_a_sweep_that_fails_is_reported_and_tried_again(path, monkeypatch, caplog):
    inside.tune(monkeypatch, sweep_interval=0.01)

    with caplog.at_level(logging.WARNING):
        cluster, people = await open_people(path, timeout=0.01)
        other, others = await open_people(path)
        async with cluster, other:
            await people.create_index("t", expire_after=HOUR)
            await people.insert_many([{"t": OLD}, {"t": NEW}])

            async def is_reported():
                return any("could not be deleted" in record.message for record in caplog.records)

            async def is_gone():
                return await people.count_documents({"t": {"$lt": NOW}}) == 0

            async with other.transaction():
                await others.insert({"t": NEW})
                people._engine._calls.expect_expiry()
                await until(is_reported)
            await until(is_gone)


async def test_two_processes_that_sweep_do_not_disturb_each_other(path, quick, run_python):
    code = """
async def main():
    cluster, people = await open_people()
    while await people.count_documents({"old": True}):
        await asyncio.sleep(0.01)
    assert await people.count_documents() == 300
    await cluster.close()
asyncio.run(main())
"""
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many([{"t": NEW} for _ in range(300)])
        await people.create_index("t", expire_after=HOUR)
        await people.insert_many([{"t": OLD, "old": True} for _ in range(2_000)])
        await asyncio.to_thread(run_python, PROGRAM + code, path, KEY, cwd=path.parent)
        assert await people.count_documents() == 300
        await people._engine._calls._writer.exclusive(check_entries)


# The end.


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 30])
def test_a_cluster_is_closed_during_a_sweep(story, quick, turns, caplog):
    async def closed(cluster, people):
        await people.insert_many([{"t": OLD} for _ in range(1_000)])
        await people.create_index("t", expire_after=HOUR)
        for _ in range(turns):
            await asyncio.sleep(0)
        await cluster.close()
        assert len(asyncio.all_tasks()) == 1

    with caplog.at_level(logging.WARNING):
        story(closed)
    assert not caplog.records


async def test_a_cluster_is_closed_between_two_sweeps(path):
    cluster, people = await open_people(path)
    await people.create_index("t", expire_after=HOUR)
    await people.insert({"t": NEW})
    await asyncio.sleep(0.02)
    await cluster.close()
    assert len(asyncio.all_tasks()) == 1


async def test_what_a_sweep_had_not_deleted_is_deleted_by_the_next(path):
    async def close_early():
        cluster, people = await open_people(path)
        await people.insert_many([{"t": OLD} for _ in range(1_000)] + [{"t": NEW}])
        await people.create_index("t", expire_after=HOUR)
        for _ in range(6):
            await asyncio.sleep(0)
        await cluster.close()

    async def open_again():
        cluster, people = await open_people(path)
        async with cluster:

            async def is_gone():
                return await people.count_documents() == 1

            await until(is_gone)
            await people._engine._calls._writer.exclusive(check_entries)

    await close_early()
    await open_again()


def test_a_program_that_never_closes_ends_with_a_sweeper(path, run_python):
    code = """
async def main():
    cluster, people = await open_people()
    await people.create_index("t", expire_after=__import__("datetime").timedelta(1))
    await people.insert({"t": 1})
    await asyncio.sleep(0.02)
asyncio.run(main())
"""
    run_python(PROGRAM + code, path, KEY, cwd=path.parent)
