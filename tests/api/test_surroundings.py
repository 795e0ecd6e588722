"""What surrounds a program and may be wrong: paths, event loops, the clock, memory."""

import asyncio
import time

import pytest

import poof
from poof import InvalidPathError, PoofCluster, WrongLoopError
from tests.support.people import KEY


def names_beside(path):
    return sorted(entry.name for entry in path.parent.iterdir())


async def in_block(opening):
    async with opening:
        pass


PATHS = {"a null character": "a\0b.poof", "a lone surrogate": "a\ud800b.poof"}


@pytest.mark.parametrize("bad", PATHS.values(), ids=PATHS)
async def test_a_path_that_no_file_can_have_is_refused_wherever_it_is_given(path, bad, monkeypatch):
    monkeypatch.chdir(path.parent)
    async with PoofCluster.create("here.poof", KEY) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        for call in (
            PoofCluster.create(bad, KEY),
            PoofCluster.open(bad, KEY),
            PoofCluster.salvage(bad, "other", KEY),
            PoofCluster.salvage("here.poof", bad, KEY),
            cluster.backup(bad),
            cluster.export_legacy(bad),
            cluster.import_legacy(bad, KEY),
            cluster.export_sqlite_plaintext(bad),
            people.export_jsonl(bad),
            people.import_jsonl(bad),
        ):
            with pytest.raises(InvalidPathError) as caught:
                await call
            assert caught.value.__context__ is None
    assert names_beside(path) == ["here.poof"]


def by_hand(coroutine):
    """Runs a coroutine without an event loop, as trio does; it must not wait for one of asyncio."""
    with pytest.raises(WrongLoopError, match="event loop") as caught:
        coroutine.send(None)
    assert caught.value.__context__ is None


def test_without_an_event_loop_of_asyncio_nothing_is_opened(path):
    by_hand(PoofCluster.create(path, KEY))
    by_hand(PoofCluster.open(path, KEY))
    by_hand(in_block(PoofCluster.create(path, KEY)))
    by_hand(PoofCluster.salvage(path, "other", KEY))
    assert names_beside(path) == []


def test_an_open_cluster_is_refused_without_its_event_loop(path):
    with asyncio.Runner() as runner:
        cluster = runner.run(PoofCluster.create(path, KEY))
        by_hand(cluster.list_database_names())
        runner.run(cluster.close())


def before_1970(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: -1.0)


async def test_a_clock_before_1970_refuses_what_is_written_and_nothing_else(path, monkeypatch):
    async with PoofCluster.create(path, KEY) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        doc = await people.insert({"n": 1})
        with monkeypatch.context() as patch:
            before_1970(patch)
            for call in (
                people.insert({"n": 2}),
                people.insert_many({"n": n} for n in range(1000)),
                people.update_one({}, {"$set": {"n": 3}}),
                people.create_index("n"),
                cluster.add_key(),
                cluster.rotate(),
                cluster.compact(),
                cluster.backup(path.with_name("copy.poof")),
                cluster.export_legacy(path.with_name("old.poof")),
                PoofCluster.create(path.with_name("new.poof"), KEY),
            ):
                with pytest.raises(poof.ClockError, match="1970"):
                    await call
            assert (await people.find_by_id(doc.objId)).data == {"n": 1}
            await cluster.stats()
        assert {name.removesuffix("-wal").removesuffix("-shm") for name in names_beside(path)} == {path.name}
        await people.insert({"n": 4})
        assert sorted([doc.data["n"] for doc in await people.find_all()]) == [1, 4]
        assert (await cluster.verify()).problems == []


async def test_no_memory_for_a_call_is_an_error_of_ours(path):
    async with PoofCluster.create(path, KEY) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")

        with pytest.raises(poof.NoMemoryError, match="not enough memory") as caught:
            await cluster._engine._calls.read(out_of_memory, quick=True)
        assert isinstance(caught.value, MemoryError)
        assert await people.count_documents() == 0


def out_of_memory(_connection):
    raise MemoryError
