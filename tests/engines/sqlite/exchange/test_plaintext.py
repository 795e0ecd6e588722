"""`export_sqlite_plaintext`: everything as a plain SQLite file, which Python's own `sqlite3` reads."""

import asyncio
import contextlib
import json
import sqlite3
import stat
import sys
import threading

import pytest

from poof import PoofCluster, StorageError
from tests.support.people import collection, names

MANY = [{"n": n, "text": "x" * 100} for n in range(3_000)]


class NoneOfUsError(Exception):
    """What a progress of a user raises."""


@pytest.fixture
def target(tmp_path):
    """Where an export may go; its folder holds nothing else."""
    folder = tmp_path / "exports"
    folder.mkdir()
    return folder / "plain.db"


def select(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


async def test_each_collection_is_a_table_in_the_order_of_insertion(cluster, people, target):
    await people.create_index("n")
    await people.insert_many(MANY)
    await collection(cluster, "empty", "other")
    await cluster.export_sqlite_plaintext(target)
    rows = select(target, 'SELECT obj_id, doc FROM "db.people"')
    assert [(obj_id, json.loads(doc)) for obj_id, doc in rows] == [
        (doc.objId, doc.data) for doc in await people.find_all()
    ]
    assert select(target, "SELECT sum(doc ->> 'n') FROM \"db.people\"") == [(sum(range(3_000)),)]
    assert select(target, "SELECT * FROM collections ORDER BY table_name") == [
        ("db.people", "db", "people", 3_000),
        ("other.empty", "other", "empty", 0),
    ]
    assert select(target, "PRAGMA integrity_check") == [("ok",)]
    assert names(target) == [target.name]


async def test_names_that_sqlite_cannot_tell_apart_or_reserves_have_tables_too(target):
    places = [("a.b", "c"), ("a", "b.c"), ("A", "B.C"), ("sqlite_a", "b"), ("it's", '"q"\0; --'), ("collections", "x")]
    async with await PoofCluster.create(":memory:") as cluster:
        for number, (database, name) in enumerate(places):
            await (await collection(cluster, name, database)).insert({"n": number})
        await cluster.export_sqlite_plaintext(target)
    tables = select(target, "SELECT table_name, database, collection FROM collections")
    assert sorted(place for _, *place in tables) == sorted(map(list, places))
    for table, *place in tables:
        quoted = table.replace('"', '""')
        assert select(target, f"SELECT doc ->> 'n' FROM \"{quoted}\"") == [(places.index(tuple(place)),)]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
async def test_the_file_is_readable_by_its_owner_only(cluster, target):
    await cluster.export_sqlite_plaintext(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


async def test_a_file_that_exists_is_left_as_it_is(cluster, target):
    target.write_text("mine")
    with pytest.raises(StorageError, match="exists"):
        await cluster.export_sqlite_plaintext(target)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("documents", [10, 3_000])
async def test_a_progress_that_raises_leaves_nothing(cluster, people, target, documents):
    def progress(done, total, unit):
        raise NoneOfUsError

    await people.insert_many(MANY[:documents])
    with pytest.raises(NoneOfUsError):
        await cluster.export_sqlite_plaintext(target, progress=progress)
    assert names(target) == []


async def test_progress_is_told_on_the_event_loop(cluster, people, target):
    await people.insert_many(MANY)
    calls = []
    await cluster.export_sqlite_plaintext(
        target, progress=lambda *args: calls.append((*args, threading.current_thread()))
    )
    assert {tuple(rest) for _, *rest in calls} == {(3_000, "documents", threading.main_thread())}
    assert calls[-1][0] == 3_000


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_an_export_that_is_cancelled_leaves_nothing_and_the_cluster_goes_on(cluster, people, target, inside):
    await people.insert_many(MANY)

    async def export():
        async with cluster.transaction() if inside else asyncio.timeout(None):
            await cluster.export_sqlite_plaintext(target, progress=lambda *_: exporting.cancel())

    exporting = asyncio.create_task(export())
    await asyncio.wait([exporting])
    assert exporting.cancelled()
    assert names(target) == []
    await people.insert({"n": 1})


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 20])
async def test_at_whatever_moment_it_is_cancelled_the_file_is_whole_or_not_there(cluster, people, target, turns):
    await people.insert_many(MANY[:300])
    exporting = asyncio.create_task(cluster.export_sqlite_plaintext(target))
    for _ in range(turns):
        await asyncio.sleep(0)
    exporting.cancel()
    await asyncio.wait([exporting])
    assert set(names(target)) <= {target.name}
    if target.exists():
        assert select(target, 'SELECT count(*) FROM "db.people"') == [(300,)]


async def test_it_is_of_one_moment_and_of_a_transaction_what_it_wrote(cluster, people, target):
    async with cluster.transaction():
        await people.insert({"n": 1})
        await cluster.export_sqlite_plaintext(target)
    assert select(target, 'SELECT count(*) FROM "db.people"') == [(1,)]


async def test_a_read_only_cluster_is_exported(path, key, target):
    async with await PoofCluster.create(path, key) as cluster:
        await (await collection(cluster, "people")).insert({"n": 1})
    async with await PoofCluster.create(path, key, read_only=True) as cluster:
        await cluster.export_sqlite_plaintext(target)
        await cluster.export_legacy(target.with_name("old"))
    assert select(target, 'SELECT doc FROM "db.people"') == [('{"n":1}',)]
