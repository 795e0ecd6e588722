"""compact(): space is given back while the file is in use, and no page ever lies anywhere in the clear."""

import asyncio
import contextlib
import sys

import apsw
import inside
import pytest
from cryptography.fernet import InvalidToken
from rewrites import cancelled

from poof import BusyError, DiskFullError, DuplicateKeyError, PoofCluster
from poof.engines.sqlite.pages import vfs as vfs_module
from poof.engines.sqlite.pages.main_file import TemporaryFile
from poof.errors import DamagedPageError
from poof.format.layout import PAGE_SIZE, RESERVED_SIZE
from poof.format.pages import PageCodec
from poof.format.subkeys import FileKey
from poof.keys.slots import DataKey

SECRET = "a sentence that no disk must ever see"
TEMPORARY = apsw.SQLITE_OPEN_TEMP_DB | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_EXCLUSIVE
DATA_KEY = FileKey(DataKey(bytes(range(32))), bytes(16))


@pytest.fixture(autouse=True)
def small_cache(monkeypatch):
    """So that a small file is already more than fits into memory."""
    inside.tune(monkeypatch, rewrite_cache_mib=1)


@contextlib.asynccontextmanager
async def filled(path, count=1_500, **options):
    async with await PoofCluster.create(path, **options) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.create_index("n", unique=True)
        await people.create_index("tags")
        await people.insert_many({"n": n, "tags": [n % 7, "t"], "text": SECRET * 40} for n in range(count))
        yield cluster, people


async def all_about(people):
    return (
        [(doc.objId, doc.data) for doc in await people.find_all()],
        await people.count_documents({"tags": 3}),
        await people.list_indexes(),
    )


def test_what_was_deleted_is_given_back_and_the_rest_is_as_it_was(run, path):
    async def story():
        async with filled(path) as (cluster, people):
            await people.delete_many({"n": {"$gte": 300}})
            await cluster.save()
            size, before = path.stat().st_size, await all_about(people)
            await cluster.compact()
            assert path.stat().st_size < size / 3
            assert path.with_name("cluster.poof-wal").stat().st_size == 0
            assert await all_about(people) == before
            assert cluster._engine._calls._writer.store._connection.execute("PRAGMA integrity_check").get == "ok"

    run(story())


def test_indexes_go_on_to_be_kept(story):
    async def compact(cluster, people):
        await people.create_index("n", unique=True)
        await people.insert_many({"n": n} for n in range(50))
        await cluster.compact()
        with pytest.raises(DuplicateKeyError):
            await people.insert({"n": 7})
        await people.update_one({"n": 7}, {"$set": {"n": 70}})
        await people.insert({"n": 7})
        assert (await people.find({"n": 70}).explain()).index == "n_1"
        assert await people.count_documents({"n": {"$in": [7, 70]}}) == 2

    story(compact)


def test_an_empty_cluster_can_be_compacted(story):
    async def compact(cluster, people):
        await cluster.compact()
        assert await people.find_all() == []

    story(compact)


def test_another_cluster_on_the_file_sees_just_a_commit(run, path):
    async def story():
        async with filled(path, 500) as (cluster, people):
            other = await PoofCluster.create(path, cluster.get_encryption_key())
            others = await (await other.get_database("db")).get_collection("people")
            before = await all_about(others)
            await cluster.compact()
            assert await all_about(others) == before
            await others.insert({"n": "new"})
            assert await people.count_documents() == 501
            await other.close()

    run(story())


def test_reads_go_on_meanwhile(run, path):
    async def story():
        async with filled(path) as (cluster, people):
            reads = 0
            compacting = asyncio.create_task(cluster.compact())
            while not compacting.done():
                assert await people.count_documents({"n": 5}) == 1
                reads += 1
                await asyncio.sleep(0)
            await compacting
            assert reads > 1

    run(story())


def test_cancelled_it_has_changed_nothing_and_takes_no_room(run, path):
    async def story():
        async with filled(path, 3_000) as (cluster, people):
            await people.delete_many({"n": {"$gte": 1500}})
            await cluster.save()
            size, before = path.read_bytes(), await all_about(people)

            await cancelled(cluster, "compact", 1.2)
            assert path.read_bytes() == size
            assert await all_about(people) == before
            assert sorted(file.name for file in path.parent.iterdir()) == [
                "cluster.poof",
                "cluster.poof-shm",
                "cluster.poof-wal",
            ]
            await cluster.compact()
            assert path.stat().st_size < len(size)

    run(story())


def test_a_reader_that_stays_open_is_named_and_save_does_the_rest(run, path):
    async def story():
        async with filled(path, timeout=0) as (cluster, people):
            await people.delete_many({"n": {"$gte": 750}})
            await cluster.save()
            size = path.stat().st_size
            reading = people.find().__aiter__()
            await anext(reading)
            with pytest.raises(BusyError, match="save"):
                await cluster.compact()
            assert len([doc async for doc in reading]) == 749
            await cluster.save()
            assert path.stat().st_size < size
            assert await people.count_documents() == 750

    run(story())


@pytest.mark.parametrize("kind", ["TemporaryFile", "WalFile"])
@pytest.mark.parametrize("call", ["compact", "rotate"])
def test_a_disk_that_is_full_changes_nothing(run, path, monkeypatch, kind, call):
    """The disk is full when a file has grown to some size; what fails is the base VFS's write, as SQLite reports it."""

    async def story():
        async with filled(path) as (cluster, people):
            await cluster.save()
            before = await all_about(people)
            file_class = getattr(vfs_module, kind)
            write = file_class.xWrite

            def full(self, data, offset):
                if offset > 40 * PAGE_SIZE:
                    raise apsw.exception_for(apsw.SQLITE_FULL)
                write(self, data, offset)

            with monkeypatch.context() as patch:
                patch.setattr(file_class, "xWrite", full)
                with pytest.raises(DiskFullError):
                    await getattr(cluster, call)()
            assert await all_about(people) == before
            await people.insert({"n": "after"})
            await getattr(cluster, call)()
            assert await people.count_documents() == 1_501
            assert cluster._engine._calls._writer.store._connection.execute("PRAGMA integrity_check").get == "ok"

    run(story())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes it when it is closed")
def test_no_file_holds_a_word_in_the_clear_and_the_temporary_one_has_no_name(run, path, monkeypatch):
    async def story():
        seen = {}

        def look(self, data, offset):
            for file in path.parent.iterdir():
                seen.setdefault(file.name, 0)
            write(self, data, offset)
            stored = apsw.VFSFile.xRead(self, PAGE_SIZE, offset)
            seen["stored"] = seen.get("stored", b"") + bytes(stored)

        write = TemporaryFile.xWrite
        async with filled(path) as (cluster, _):
            monkeypatch.setattr(TemporaryFile, "xWrite", look)
            await cluster.compact()
        stored = seen.pop("stored")
        assert len(stored) > 100 * PAGE_SIZE
        assert SECRET.encode() not in stored
        assert set(seen) == {"cluster.poof", "cluster.poof-wal", "cluster.poof-shm"}

    run(story())


@pytest.fixture
def temporary(path):
    with inside.file_of(inside.state_of(path, DATA_KEY), None, TEMPORARY) as file:
        yield file


def page(letter: bytes) -> bytes:
    return (letter * PAGE_SIZE)[:-RESERVED_SIZE] + bytes(RESERVED_SIZE)


def test_a_temporary_file_gives_back_what_was_written(temporary):
    temporary.xWrite(page(b"b"), PAGE_SIZE)
    temporary.xWrite(page(b"a"), 0)
    assert bytes(temporary.xRead(PAGE_SIZE, PAGE_SIZE)) == page(b"b")
    assert bytes(temporary.xRead(100, 0)) == page(b"a")[:100]


def test_a_temporary_file_stores_tokens_under_a_key_of_its_own(temporary):
    temporary.xWrite(page(b"a"), 0)
    stored = apsw.VFSFile.xRead(temporary, PAGE_SIZE, 0)
    assert stored[0] == 0x80
    assert b"aaaa" not in stored
    assert temporary._state.keys.current == DATA_KEY
    with pytest.raises(InvalidToken):
        PageCodec(DATA_KEY.page).open(1, stored)


def test_a_page_that_was_never_written_to_a_temporary_file_is_empty(temporary):
    temporary.xWrite(page(b"c"), 2 * PAGE_SIZE)
    assert temporary.xRead(PAGE_SIZE, PAGE_SIZE) == b""
    assert temporary.xRead(PAGE_SIZE, 9 * PAGE_SIZE) == b""


def test_an_altered_temporary_file_is_found_out(temporary):
    temporary.xWrite(page(b"a"), 0)
    apsw.VFSFile.xWrite(temporary, b"x", 500)
    with pytest.raises(apsw.IOError) as raised:
        temporary.xRead(PAGE_SIZE, 0)
    assert isinstance(raised.value.__cause__, DamagedPageError)


@pytest.mark.parametrize(("size", "offset"), [(PAGE_SIZE - 1, 0), (PAGE_SIZE, 1), (100, 0)])
def test_a_temporary_file_takes_whole_pages_only(temporary, size, offset):
    with pytest.raises(apsw.IOError):
        temporary.xWrite(bytes(size), offset)


MEGABYTES = 300
BOUND_MIB = 110
"""What a program with a file of any size may take: the interpreter, two caches of 8 MiB, and what the tests left."""

GROW_AND_REWRITE = """
    import asyncio, random, sys
    from memory import peak_memory
    from poof import PoofCluster

    async def main(path, megabytes):
        async with await PoofCluster.create(path, cache_mib=8) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            texts = random.Random(1)
            await people.insert_many({"n": n, "text": texts.randbytes(1900).hex()} for n in range(int(megabytes) * 250))
            await cluster.save()
            await cluster.rotate()
            await cluster.compact()
            assert await people.estimated_document_count() == int(megabytes) * 250
            print(peak_memory() // 1024)

    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.campaign
@pytest.mark.skipif(sys.platform != "linux", reason="another system tells otherwise")
def test_a_large_file_is_rewritten_in_bounded_memory(path, start_python):
    process = start_python(GROW_AND_REWRITE, path, MEGABYTES, cwd=path.parent)
    output, errors = process.communicate(timeout=600)
    assert (process.returncode, errors) == (0, "")
    assert path.stat().st_size > MEGABYTES * 1_000_000
    assert int(output) < BOUND_MIB
