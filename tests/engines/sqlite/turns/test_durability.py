"""What is acknowledged is kept: through a kill, a save, a growing log, and a disk that fails."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

import poof
from poof import DiskFullError, PoofCluster, StorageError
from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.engine import SqliteEngine
from poof.engines.sqlite.file import raw, unlock
from poof.engines.sqlite.opening import OpenFile
from poof.engines.sqlite.pages.log_file import WalFile
from poof.engines.sqlite.tuning import DEFAULT
from poof.engines.sqlite.turns import checkpoints
from poof.engines.sqlite.turns.store import Settings, Store
from poof.engines.sqlite.turns.threads import Threads
from poof.errors import BusyError
from poof.format.layout import FRAME_SIZE
from poof.keys.credentials import Credentials
from poof.keys.user_keys import UserKeys
from tests.support import inside

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="

WRITE_UNTIL_KILLED = """
import asyncio, sys
from poof import PoofCluster

async def main(path, key, durability, how):
    cluster = await PoofCluster.create(path, key, durability=durability)
    people = await (await cluster.get_database("db")).get_collection("people")
    n = 0
    while True:
        if how == "insert":
            await people.insert({"n": n})
            n += 1
        elif how == "transaction":
            async with cluster.transaction():
                for n in range(n, n + 3):
                    await people.insert({"n": n})
            n += 1
        elif how == "many":
            await people.insert_many({"n": i} for i in range(n, n + 300))
            n += 300
        else:
            await asyncio.gather(*(people.insert({"n": i}) for i in range(n, n + 100)))
            n += 100
        print(n, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def start(code, *args):
    environment = {**os.environ, "PYTHONPATH": str(Path(poof.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


async def open_people(path, **options):
    cluster = await PoofCluster.create(path, KEY, **options)
    return cluster, await (await cluster.get_database("db")).get_collection("people")


async def read_numbers(path):
    cluster, people = await open_people(path)
    async with cluster:
        assert cluster._engine._calls._writer.store._connection.execute("PRAGMA integrity_check").get == "ok"
        return numbers(await people.find_all())


def numbers(documents):
    return [document.data["n"] for document in documents]


def log_size(path):
    return path.with_name("cluster.poof-wal").stat().st_size


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("how", ["insert", "transaction", "many", "group"])
async def test_what_was_acknowledged_is_there_after_a_kill(path, durability, how):
    with start(WRITE_UNTIL_KILLED, path, KEY, durability, how) as process:
        for _ in range(5):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    found = await read_numbers(path)
    assert found[:acknowledged] == list(range(acknowledged))
    assert found == list(range(len(found)))
    assert len(found) % {"insert": 1, "transaction": 3, "many": 300, "group": 100}[how] == 0


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_a_cluster_of_each_durability_reads_back(path, durability):
    cluster, people = await open_people(path, durability=durability)
    async with cluster:
        await people.insert({"n": 0})
        await people.insert_many([{"n": n} for n in range(1, 500)])
        async with cluster.transaction():
            await people.insert({"n": 500})
    assert await read_numbers(path) == list(range(501))


async def test_save_leaves_everything_in_one_file_and_an_empty_log(path, tmp_path):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(1_000)])
        await people.insert({"n": 1_000})
        assert log_size(path) > 0
        await cluster.save()
        assert log_size(path) == 0
        (tmp_path / "copy.poof").write_bytes(path.read_bytes())
        await people.insert({"n": "after"})
    assert await read_numbers(tmp_path / "copy.poof") == list(range(1_001))
    assert await read_numbers(path) == [*range(1_001), "after"]


async def test_the_first_write_after_a_save_is_made_on_the_thread(path):
    """It starts the log anew, and so it syncs."""
    cluster, people = await open_people(path)
    async with cluster:
        writer = cluster._engine._calls._writer
        await people.insert({"n": 1})
        assert not writer.sync_is_due
        save = asyncio.create_task(cluster.save())
        for _ in range(3):
            await asyncio.sleep(0)
        assert writer.is_held
        assert writer.sync_is_due  # while the save has the connection, and so before the next write
        await people.insert({"n": 2})
        assert not writer.sync_is_due
        await save
        await cluster.save()
        async with cluster.transaction() as transaction:
            await people.insert({"n": 3})
            assert not transaction._may_commit_quick()
        assert not writer.sync_is_due


FRAMES = 40


async def write(people, count):
    for n in range(count):
        await people.insert({"n": n, "text": "x" * 5_000})


async def test_the_log_stays_short_under_steady_writes(path, monkeypatch):
    inside.tune(monkeypatch, log_frames=FRAMES)
    cluster, people = await open_people(path)
    async with cluster:
        for _ in range(60):
            await write(people, 10)
            await asyncio.sleep(0.01)  # a slow disk takes as long for a sync
            # The first checkpoint starts threads and a connection first. Without any, the log had 60 * FRAMES.
            assert log_size(path) < 25 * FRAMES * FRAME_SIZE
        assert path.stat().st_size > 200 * FRAME_SIZE


async def test_the_log_stays_short_beside_a_stream_and_is_short_again_after_it(path, monkeypatch):
    inside.tune(monkeypatch, log_frames=FRAMES)
    cluster, people = await open_people(path, timeout=0)
    async with cluster:
        await write(people, 300)
        documents = aiter(people.find())
        await anext(documents)
        await write(people, 200)
        grown = log_size(path)
        assert grown > 2 * FRAMES * FRAME_SIZE  # what the stream sees must stay
        assert len([doc async for doc in documents]) == 299
        for _ in range(50):
            await write(people, 10)
        assert cluster._engine._calls._writer.store.log_frames * FRAME_SIZE < grown


async def test_a_log_is_copied_in_a_quiet_moment_long_before_it_is_long(path, monkeypatch):
    inside.tune(monkeypatch, quiet_log_frames=FRAMES)
    cluster, people = await open_people(path)
    async with cluster, asyncio.timeout(30):
        await write(people, FRAMES)
        before = path.stat().st_size
        checkpointer, store = cluster._engine._calls._checkpointer, cluster._engine._calls._writer.store
        assert checkpointer._timer is not None
        checkpointer._timer.cancel()
        checkpointer._look(store, store.log_frames)
        await checkpointer._task
        assert cluster._engine._calls._writer.sync_is_due  # since the log begins anew
        assert path.stat().st_size > before


async def test_a_moment_in_which_the_log_grows_is_not_quiet(path, monkeypatch):
    inside.tune(monkeypatch, quiet_log_frames=FRAMES)
    cluster, people = await open_people(path)
    async with cluster:
        await write(people, FRAMES)
        checkpointer, store = cluster._engine._calls._checkpointer, cluster._engine._calls._writer.store
        checkpointer._timer.cancel()
        checkpointer._look(store, store.log_frames - DEFAULT.quiet_frames - 1)
        assert checkpointer._task is None
        checkpointer._timer.cancel()
        checkpointer._look(store, store.log_frames - DEFAULT.quiet_frames)
        assert checkpointer._task is not None


async def test_the_copying_gives_way_to_writes_unless_somebody_waits_for_it_or_the_log_is_long(path, monkeypatch):
    pauses = []
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(sleep=pauses.append))
    cluster, _ = await open_people(path)
    async with cluster:
        checkpointer, store = cluster._engine._calls._checkpointer, cluster._engine._calls._writer.store

        def pauses_at(frames):
            store._log_frames = frames
            before = len(pauses)
            checkpointer._give_way(store)
            return len(pauses) - before

        assert [pauses_at(frames) for frames in (1, 1, 2, 2)] == [1, 0, 1, 0]
        async with checkpointer.paused():
            assert pauses_at(3) == 0
        assert pauses_at(3) == 1
        assert pauses_at(DEFAULT.log_frames) == 0


def test_a_cluster_that_is_dropped_before_a_quiet_moment_is_left_alone(run, path, monkeypatch, caplog):
    inside.tune(monkeypatch, quiet_log_frames=FRAMES)
    inside.tune(monkeypatch, quiet_time=0.5)  # longer than any machine takes to drop the cluster

    async def story():
        cluster, people = await open_people(path)
        await write(people, FRAMES)
        writer = cluster._engine._calls._writer
        del cluster, people
        gc.collect()
        await asyncio.to_thread(writer.join)
        await asyncio.sleep(0.6)
        assert not caplog.records

    run(story())


async def test_a_log_that_was_very_long_gives_its_room_back_in_a_quiet_moment(path, monkeypatch):
    inside.tune(monkeypatch, log_frames=FRAMES)
    inside.tune(monkeypatch, kept_frames=FRAMES)
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many({"text": "x" * 5_000} for _ in range(3 * FRAMES))
        checkpointer, store = cluster._engine._calls._checkpointer, cluster._engine._calls._writer.store
        await checkpointer._task
        await asyncio.sleep(0)
        assert log_size(path) > 3 * FRAMES * FRAME_SIZE  # to be written again, as long as there is much to write
        checkpointer._timer.cancel()
        checkpointer._look(store, store.log_frames)
        await checkpointer._task
        await asyncio.sleep(0)
        assert log_size(path) == FRAMES * FRAME_SIZE
        assert checkpointer._timer is None
        await write(people, 1)
        assert log_size(path) == FRAMES * FRAME_SIZE


@pytest.mark.parametrize("most_pages", [0, 10_000])
async def test_a_long_log_is_synced_while_no_write_can_be_made(path, monkeypatch, most_pages):
    inside.tune(monkeypatch, log_frames=FRAMES)
    inside.tune(monkeypatch, most_pages=most_pages)
    held = []
    flush = WalFile.flush
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert({"text": "begins the log"})
        writer = cluster._engine._calls._writer

        def note_and_flush(file):
            held.append(writer.is_held)
            flush(file)

        monkeypatch.setattr(WalFile, "flush", note_and_flush)
        await people.insert_many({"text": "x" * 5_000} for _ in range(FRAMES))
        assert held == []
        await cluster._engine._calls._checkpointer._task
        assert held[0]


async def test_a_save_beside_a_stream_says_that_it_is_busy_and_changes_nothing(path):
    cluster, people = await open_people(path, timeout=0)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(1_000)])
        documents = aiter(people.find())
        await anext(documents)
        await people.insert({"n": "more"})
        with pytest.raises(BusyError, match=r"a loop over find\(\) in this process was open, or another process"):
            await cluster.save()
        assert len([doc async for doc in documents]) == 999
        await cluster.save()
        assert log_size(path) == 0


@pytest.mark.parametrize("frames", [2_000, 4_000])
@pytest.mark.parametrize("saving", [0, 1])
async def test_a_save_waits_for_a_checkpoint_of_its_own_cluster_or_of_another(path, saving, frames, monkeypatch):
    inside.tune(monkeypatch, log_frames=frames)
    clusters = [(await open_people(path))[0] for _ in range(2)]
    async with clusters[0], clusters[1]:
        people = await (await clusters[0].get_database("db")).get_collection("people")
        await people.insert_many({"text": "x" * 5_000} for _ in range(6_000))
        await asyncio.sleep(0)
        assert clusters[0]._engine._calls._checkpointer._task is not None
        await clusters[saving].save()


class Disk(apsw.VFS):
    """A VFS below ours whose writes, or syncs, fail from some moment on."""

    def __init__(self):
        self.name = "failing-disk"
        self.error = None
        self.on = "xWrite"
        super().__init__(self.name, "")

    def xOpen(self, name, flags):  # noqa: N802
        return DiskFile(self, name, flags)


class DiskFile(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self.disk = disk
        super().__init__("", name, flags)

    def xWrite(self, data, offset):  # noqa: N802
        if self.disk.error and self.disk.on == "xWrite":
            raise self.disk.error
        super().xWrite(data, offset)

    def xSync(self, flags):  # noqa: N802
        if self.disk.error and self.disk.on == "xSync":
            raise self.disk.error
        super().xSync(flags)


@pytest.fixture
def disk():
    disk = Disk()
    yield disk
    disk.unregister()


def open_on(disk, path, *, power=False):
    """A cluster on the disk that can fail."""
    block = raw.read_header_block(str(path))
    unlocked = unlock.unlock(block, Credentials(key=KEY.encode()), str(path))
    settings = Settings(5.0, 1, power=power)
    user_keys = UserKeys(unlocked.user_key)
    first = Store(str(path), unlocked, settings, base=disk.name, user_keys=user_keys)
    file = OpenFile(str(path), unlocked, user_keys, settings, disk.name, first)
    return PoofCluster(SqliteEngine(Calls(str(path), file, Threads(1, "poof-write"))))


async def prepare(path):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert({"n": "first"})


async def insert_in_transaction(cluster, people):
    async with cluster.transaction():
        await people.insert({"n": "lost"})


WRITES = {
    "insert": lambda cluster, people: people.insert({"n": "lost"}),
    "large insert": lambda cluster, people: people.insert({"n": "lost", "text": "x" * 100_000}),
    "group": lambda cluster, people: asyncio.gather(*(people.insert({"n": "lost"}) for _ in range(3))),
    "large group": lambda cluster, people: asyncio.gather(*(people.insert({"n": "lost"}) for _ in range(200))),
    "insert_many": lambda cluster, people: people.insert_many([{"n": "lost"}] * 3),
    "transaction": insert_in_transaction,
    "collection": lambda cluster, people: cluster.get_database("new"),
}


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("lost", WRITES.values(), ids=WRITES)
async def test_after_a_failed_commit_nothing_more_is_written_and_reads_go_on(path, disk, lost, power):
    await prepare(path)
    async with open_on(disk, path, power=power) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        kept = await people.insert({"n": "acknowledged"})
        disk.error = apsw.IOError("the first cause")
        with pytest.raises(StorageError, match="the first cause"):
            await lost(cluster, people)
        disk.error = None
        for later in WRITES.values():
            with pytest.raises(StorageError, match="the first cause"):
                await later(cluster, people)
        with pytest.raises(StorageError, match="the first cause"):
            await cluster.save()
        assert await people.find_by_id(kept.objId) == kept
        assert numbers(await people.find_all()) == ["first", "acknowledged"]
    assert await read_numbers(path) == ["first", "acknowledged"]


async def test_an_insert_many_that_cannot_reach_the_disk_before_its_commit_fails_as_a_whole(path, disk):
    """It is larger than the cache, so SQLite writes some of it early. No commit failed, so the next write is made."""
    await prepare(path)
    async with open_on(disk, path) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        disk.error = apsw.IOError("the first cause")
        with pytest.raises(StorageError, match="the first cause"):
            await people.insert_many([{"n": "lost", "text": "x" * 9_000}] * 900)
        disk.error = None
        await people.insert({"n": "next"})
    assert await read_numbers(path) == ["first", "next"]


async def test_writes_that_were_in_line_when_a_commit_failed_fail_too(path, disk):
    await prepare(path)
    async with open_on(disk, path, power=True) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        writer = cluster._engine._calls._writer
        disk.error = apsw.IOError("the first cause")
        first = asyncio.create_task(people.insert({"n": "lost"}))
        for _ in range(2):
            await asyncio.sleep(0)
        assert writer.is_held
        later = [asyncio.ensure_future(write(cluster, people)) for write in WRITES.values() for _ in range(2)]
        for _ in range(2):
            await asyncio.sleep(0)
        first.add_done_callback(lambda _: setattr(disk, "error", None))
        results = await asyncio.gather(first, *later, return_exceptions=True)
        assert {type(result) for result in results} == {StorageError}
        assert all("the first cause" in str(result) for result in results)
    assert await read_numbers(path) == ["first"]


@pytest.mark.parametrize("lost", WRITES.values(), ids=WRITES)
async def test_a_full_disk_fails_one_write_and_not_the_next(path, disk, lost):
    await prepare(path)
    async with open_on(disk, path) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        disk.error = apsw.FullError("no room")
        with pytest.raises(DiskFullError):
            await lost(cluster, people)
        disk.error = None
        await people.insert({"n": "next"})
        await cluster.save()
    assert await read_numbers(path) == ["first", "next"]
