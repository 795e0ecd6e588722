"""Backups: a copy of one moment of a cluster that is in use, which opens on its own, or nothing at all."""

import asyncio
import random
import stat

import pytest
from cryptography.fernet import Fernet
from damaged import destroy, everything
from people import KEY, collection, names, numbers, open_people

from poof import (
    DamagedPageError,
    InvalidKeyError,
    MissingFolderError,
    PoofCluster,
    StorageError,
    TransactionError,
    WrongKeyError,
)
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import unlock
from poof.format.header import parse_block
from poof.keys.credentials import Credentials


@pytest.fixture
def copy(path):
    return path.with_name("copy.poof")


def backing_up(run, path, copy, **options):
    """Writes 300 documents and backs them up; returns what the cluster holds."""

    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            await people.create_index("n")
            await people.insert_many({"n": number, "text": "x" * 500} for number in range(300))
            await cluster.backup(copy, **options)
            return await everything(cluster)

    return run(story())


async def holds(copy, *args, **options):
    async with await PoofCluster.create(copy, *args, **options) as cluster:
        assert (await cluster.verify()).ok
        return await everything(cluster)


def data_key(path, key):
    return unlock(read_header_block(str(path)), Credentials(key=key.encode()), str(path)).key.data_key


def test_a_backup_holds_the_same_and_opens_with_the_same_key(run, path, copy):
    documents = backing_up(run, path, copy)
    assert run(holds(copy, KEY)) == documents
    assert names(path) == ["cluster.poof", "copy.poof"]


def test_a_backup_keeps_the_header_with_all_its_slots(run, path, copy):
    backing_up(run, path, copy)
    (original,), (made,) = (parse_block(read_header_block(str(file))) for file in (path, copy))
    assert (made.header.slots, made.header.cluster) == (original.header.slots, original.header.cluster)
    assert made.header.file != original.header.file


def test_a_backup_under_another_key_has_another_data_key(run, path, copy):
    other = Fernet.generate_key().decode()
    documents = backing_up(run, path, copy, key=other)
    assert run(holds(copy, other)) == documents
    assert data_key(copy, other) != data_key(path, KEY)
    with pytest.raises(WrongKeyError):
        run(holds(copy, KEY))


def test_a_backup_under_a_password_opens_with_it(run, path, copy):
    documents = backing_up(run, path, copy, password="four random words here")
    assert run(holds(copy, password="four random words here")) == documents


def test_key_and_password_together_are_refused(run, path, copy):
    with pytest.raises(InvalidKeyError):
        backing_up(run, path, copy, key=KEY, password="four random words here")
    assert names(path) == ["cluster.poof"]


def test_a_backup_is_for_its_owner_only(run, path, copy):
    backing_up(run, path, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_backup_is_of_one_moment_while_others_write(run, path, copy):
    async def story():
        cluster, left = await open_people(path)
        async with cluster:
            right = await collection(cluster, "right")
            await left.insert_many({"text": "x" * 700} for _ in range(3000))
            ended = False

            async def write():
                number = 0
                while not ended:
                    number += 1
                    async with cluster.transaction():
                        await left.insert({"n": number})
                        await right.insert({"n": number})
                    await asyncio.sleep(0)
                return number

            writing = asyncio.create_task(write())
            started = asyncio.Event()
            await asyncio.gather(
                cluster.backup(copy, progress=lambda *_: started.set()), started.wait()
            )  # with writes before and after
            ended = True
            written = await writing
        cluster, left = await open_people(copy)
        async with cluster:
            right = await collection(cluster, "right")
            found = [document.data["n"] for document in await left.find({"n": {"$exists": True}}).to_list()]
            assert found == await numbers(right) == list(range(1, len(found) + 1))
            assert len(found) < written

    run(story())


def test_a_cluster_in_memory_is_backed_up_into_a_file(run, copy):
    async def story():
        async with await PoofCluster.create(":memory:", KEY) as cluster:
            people = await collection(cluster, "people")
            await people.insert({"n": 1})
            await cluster.backup(copy)
            await people.insert({"n": 2})
        cluster, people = await open_people(copy)
        async with cluster:
            assert await numbers(people) == [1]

    run(story())


@pytest.mark.parametrize("options", [{"read_only": True}, {"exclusive": True}], ids=str)
def test_a_cluster_is_backed_up_however_it_is_opened(run, path, copy, options):
    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            await people.insert({"n": 1})
        async with await PoofCluster.create(path, KEY, **options) as cluster:
            await cluster.backup(copy)
        assert await holds(copy, KEY) == await holds(path, KEY)

    run(story())


def test_no_file_is_replaced_by_a_backup(run, path, copy):
    copy.write_bytes(b"something")
    with pytest.raises(StorageError, match="exists"):
        backing_up(run, path, copy)
    assert copy.read_bytes() == b"something"


def test_a_cluster_is_not_backed_up_into_itself(run, path):
    with pytest.raises(StorageError, match="exists"):
        backing_up(run, path, path)


def test_a_folder_that_is_not_there_is_an_error(run, path):
    with pytest.raises(MissingFolderError):
        backing_up(run, path, path.with_name("folder") / "copy.poof")


def test_a_backup_inside_a_transaction_is_refused(run, path, copy):
    async def story():
        cluster, _ = await open_people(path)
        async with cluster, cluster.transaction():
            with pytest.raises(TransactionError):
                await cluster.backup(copy)

    run(story())
    assert names(path) == ["cluster.poof"]


def test_progress_ends_with_every_page_copied_and_read_back(run, path, copy):
    reports = []
    backing_up(run, path, copy, progress=lambda *report: reports.append(report))
    pages = copy.stat().st_size // 8192 - 1
    assert reports[-1] == (2 * pages, 2 * pages, "pages")
    assert [done for done, _, _ in reports] == sorted(done for done, _, _ in reports)


def test_a_backup_that_is_cancelled_leaves_nothing(run, path, copy):
    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            await people.insert_many({"text": "x" * 700} for _ in range(3000))
            task = asyncio.create_task(cluster.backup(copy, progress=lambda *_: task.cancel()))
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not [name for name in names(path) if not name.startswith("cluster.poof")]
            await cluster.backup(copy)

    run(story())


def test_damage_ends_a_backup_and_leaves_nothing(run, path, copy):
    backing_up(run, path, copy)
    copy.unlink()
    last = path.stat().st_size // 8192 - 1

    async def story():
        path.write_bytes(destroy(path.read_bytes(), [last], random.Random(1)))
        async with await PoofCluster.create(path, KEY) as cluster:
            with pytest.raises(DamagedPageError) as raised:
                await cluster.backup(copy)
            assert raised.value.page == last

    run(story())
    assert names(path) == ["cluster.poof"]


@pytest.mark.parametrize("at", [1, 3])
def test_a_program_that_is_killed_leaves_a_whole_copy_or_none(run, path, copy, start_python, at):
    documents = backing_up(run, path, copy)
    copy.unlink()
    program = """
        import asyncio, os, signal, sys
        from poof import PoofCluster
        reports = []
        def progress(*report):
            reports.append(report)
            if len(reports) == int(sys.argv[4]):
                os.kill(os.getpid(), signal.SIGKILL)
        async def main():
            async with await PoofCluster.create(sys.argv[1], sys.argv[2]) as cluster:
                people = await (await cluster.get_database("db")).get_collection("people")
                await people.insert_many({"text": "x" * 900} for _ in range(3_000))
                await cluster.backup(sys.argv[3], progress=progress)
        asyncio.run(main())
    """
    process = start_python(program, path, KEY, copy, at)
    process.communicate()
    assert process.returncode == -9
    assert all(name.startswith(("cluster.poof", "copy.poof", ".poof-")) for name in names(path))
    found = run(holds(path, KEY))["db", "people"]
    if copy.exists():  # the thread went on while the loop was about to kill it
        assert run(holds(copy, KEY))["db", "people"] == found
    assert list(found.items())[:300] == list(documents["db", "people"].items())
    assert len(found) == 3_300


def test_a_backup_beside_a_replacement_of_the_data_key_is_whole(run, path, copy):
    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            await people.insert_many({"n": number, "text": "x" * 500} for number in range(1000))
            await asyncio.gather(cluster.rotate(), cluster.backup(copy))
            documents = await everything(cluster)
            await cluster.backup(path.with_name("later.poof"))
        assert await holds(copy, KEY) == await holds(path.with_name("later.poof"), KEY) == documents

    run(story())


def test_what_progress_raises_ends_the_backup_and_leaves_nothing(run, path, copy):
    def progress(*_report):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        backing_up(run, path, copy, progress=progress)
    assert names(path) == ["cluster.poof"]
