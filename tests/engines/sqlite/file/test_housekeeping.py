"""Opening, saving and closing: what lies on the disk, and what is left behind."""

import asyncio
import contextlib
import gc
import os
import stat
import sys
import threading
import weakref

import pytest

import poof
from poof import PoofCluster

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="


def names(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def people_of(cluster):
    return await (await cluster.get_database("db")).get_collection("people")


async def read_numbers(path):
    async with await PoofCluster.create(path, KEY) as cluster:
        return [doc.data["n"] for doc in await (await people_of(cluster)).find_all()]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
@pytest.mark.parametrize("umask", [0, 0o022, 0o077], ids=oct)
async def test_the_file_its_log_and_its_index_are_the_owners_alone(path, umask):
    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            await (await people_of(cluster)).insert({"n": 1})
            return {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in path.parent.iterdir()}

    before = os.umask(umask)
    try:
        modes = await story()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["cluster.poof", "cluster.poof-shm", "cluster.poof-wal"], "0o600")


async def test_after_close_there_is_one_file(path):
    cluster = await PoofCluster.create(path, KEY)
    await (await people_of(cluster)).insert({"n": 1})
    await cluster.close()
    assert names(path.parent) == ["cluster.poof"]
    assert await read_numbers(path) == [1]


async def test_after_save_the_log_is_empty_and_the_file_holds_everything(path, tmp_path):
    copy = tmp_path / "copy.poof"
    async with await PoofCluster.create(path, KEY) as cluster:
        people = await people_of(cluster)
        for n in range(20):
            await people.insert({"n": n})
        log = path.with_name("cluster.poof-wal")
        assert log.stat().st_size > 0
        await cluster.save()
        assert log.stat().st_size == 0
        # Reading a cluster past SQLite drops the locks of this process; nobody else is here to mind.
        copy.write_bytes(path.read_bytes())
    assert await read_numbers(copy) == list(range(20))


async def test_async_with_closes_also_after_an_error(path):
    with pytest.raises(KeyError):
        async with await PoofCluster.create(path, KEY) as cluster:
            await (await people_of(cluster)).insert({"n": 1})
            raise KeyError
    with pytest.raises(poof.ClosedError):
        await cluster.get_database("db")
    assert names(path.parent) == ["cluster.poof"]


async def test_close_may_be_called_again_and_by_many_at_once(path):
    async def story():
        cluster = await PoofCluster.create(path, KEY)
        await asyncio.gather(*(cluster.close() for _ in range(10)))
        await cluster.close()
        async with cluster:
            pass
        return repr(cluster)

    assert await story() == f"<PoofCluster {str(path)!r}, closed>"


async def test_close_waits_for_the_calls_made_before(path):
    cluster = await PoofCluster.create(path, KEY)
    people = await people_of(cluster)
    inserting = [asyncio.ensure_future(people.insert({"n": n})) for n in range(50)]
    await asyncio.sleep(0)
    await cluster.close()
    await asyncio.gather(*inserting)
    assert await read_numbers(path) == list(range(50))


def test_a_cluster_that_is_dropped_is_closed_and_collected(run, path):
    async def story():
        cluster = await PoofCluster.create(path, KEY)
        await (await people_of(cluster)).insert({"n": 1})
        return weakref.ref(cluster)

    dropped = run(story())
    gc.collect()
    assert dropped() is None
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("poof")]:
        thread.join(timeout=10)
    assert names(path.parent) == ["cluster.poof"]
    assert run(read_numbers(path)) == [1]


async def test_a_cancelled_create_leaves_nothing_open(path):
    """What is left on the disk is nothing or a whole cluster, and nothing that leaks is left in memory."""

    async def story(turns: int):
        creating = asyncio.create_task(PoofCluster.create(path, KEY))
        for _ in range(turns):
            await asyncio.sleep(0)
        creating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await creating).close()

    for turns in (0, 1, 2, 5, 50):
        await story(turns)
        for thread in [thread for thread in threading.enumerate() if thread.name.startswith("poof")]:
            thread.join(timeout=10)
        assert names(path.parent) in ([], ["cluster.poof"])
    assert await read_numbers(path) == []


async def test_a_cancelled_create_with_a_password_leaves_nothing_open(path):
    creating = asyncio.create_task(PoofCluster.create(path, password="correct horse"))
    for _ in range(10):
        await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_cancelled_insert_happens_whole_or_not_at_all_and_the_cluster_stays_usable(path, turns):
    async with await PoofCluster.create(path, KEY) as cluster:
        people = await people_of(cluster)
        inserting = [asyncio.create_task(people.insert({"n": n, "more": "x" * 10_000})) for n in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in inserting:
            task.cancel()
        results = await asyncio.gather(*inserting, return_exceptions=True)
        assert all(isinstance(it, poof.PoofDocument | asyncio.CancelledError) for it in results)
        finished = [doc.data["n"] for doc in results if isinstance(doc, poof.PoofDocument)]
        after = await people.insert({"n": "after"})
        docs = await people.find_all()
        assert docs[-1] == after
        assert {*finished, "after"} <= {doc.data["n"] for doc in docs}
        assert all(set(doc.data) == {"n", "more"} for doc in docs[:-1])


async def test_a_cancelled_close_closes_all_the_same(path):
    cluster = await PoofCluster.create(path, KEY)
    await (await people_of(cluster)).insert({"n": 1})
    closing = asyncio.create_task(cluster.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await cluster.close()
    assert names(path.parent) == ["cluster.poof"]


async def test_two_clusters_in_memory_are_separate():
    async with await PoofCluster.create(":memory:", KEY) as one, await PoofCluster.create(":memory:", KEY) as other:
        await (await people_of(one)).insert({"n": 1})
        assert await (await people_of(other)).find_all() == []


async def test_a_cluster_in_memory_ends_when_it_is_closed():
    async with await PoofCluster.create(":memory:", KEY) as cluster:
        await (await people_of(cluster)).insert({"n": 1})
    async with await PoofCluster.create(":memory:", KEY) as cluster:
        assert await (await people_of(cluster)).find_all() == []
        assert repr(cluster) == "<PoofCluster ':memory:', open>"


async def test_a_cluster_in_memory_can_be_saved_and_goes_on():
    async with await PoofCluster.create(":memory:", password="correct horse") as cluster:
        people = await people_of(cluster)
        for n in range(300):
            await people.insert({"n": n, "more": "x" * 2000})
            if n % 100 == 0:
                await cluster.save()
        assert [doc.data["n"] for doc in await people.find_all()] == list(range(300))


TOUCH_NO_DISK = """
import asyncio, os, sys
from poof import PoofCluster

opened = []

def watch(event, arguments):
    if event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        opened.append(arguments[0])
    if event in ("os.link", "os.rename", "os.mkdir", "os.symlink", "os.truncate", "shutil.copyfile"):
        opened.append(arguments)

async def main():
    async with await PoofCluster.create(":memory:") as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        for n in range(500):
            await people.insert({"n": n, "more": "x" * 5000})
        await cluster.save()
        assert len(await people.find_all()) == 500

def open_files():
    folder = "/proc/self/fd"
    descriptors = [f"{folder}/{name}" for name in os.listdir(folder)] if os.path.exists(folder) else []
    return {os.readlink(descriptor) for descriptor in descriptors if os.path.isfile(descriptor)}

before = open_files()  # of the interpreter and its modules
sys.addaudithook(watch)
asyncio.run(main())
print(opened, sorted(open_files() - before), os.listdir("."), os.listdir(os.environ["TMPDIR"]))
"""


def test_a_cluster_in_memory_touches_no_disk(run_python, tmp_path):
    folder, temporary = tmp_path / "folder", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    output = run_python(
        TOUCH_NO_DISK, cwd=folder, TMPDIR=str(temporary), SQLITE_TMPDIR=str(temporary), PYTHONDONTWRITEBYTECODE="1"
    )
    assert output == "[] [] [] []\n"
    assert (names(folder), names(temporary)) == ([], [])


@pytest.mark.parametrize(
    "name",
    [
        "it's",
        '"quoted"',
        "100%41",
        "what?mode=memory",
        "a#b",
        "a b  c ",
        "\N{PILE OF POO}.poof",
        "e\u0301",
        "file:x.poof",
        "file:x?mode=ro&vfs=memdb",
        "-wal",
        "x-journal",
        ":memory: ",
        "new\nline",
        "a;b&c|d$HOME`e`*",
        "x" * 200,
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
async def test_a_path_may_hold_any_character(tmp_path, monkeypatch, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)

    async def story(path, n):
        async with await PoofCluster.create(path, KEY) as cluster:
            await (await people_of(cluster)).insert({"n": n})
            assert names(folder) == sorted([name, f"{name}-shm", f"{name}-wal"])

    await story(name, 1)
    await story(folder / name, 2)
    assert names(folder) == [name]
    assert await read_numbers(folder / name) == [1, 2]


async def test_a_path_may_be_text_bytes_or_a_path_object(path):
    for form in (path, str(path), os.fsencode(path)):
        assert await read_numbers(form) == []
    assert names(path.parent) == ["cluster.poof"]


async def test_a_relative_path_means_the_folder_at_the_time_of_create(path, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(path.parent)
    async with await PoofCluster.create("cluster.poof", KEY) as cluster:
        monkeypatch.chdir(elsewhere)
        await (await people_of(cluster)).insert({"n": 1})
        await cluster.save()
    assert (names(path.parent), names(elsewhere)) == (["cluster.poof"], [])
    assert await read_numbers(path) == [1]


@pytest.mark.parametrize("exists", [True, False], ids=["to a cluster", "to no file yet"])
async def test_a_symbolic_link_is_followed(path, tmp_path, exists):
    if exists:
        await read_numbers(path)
    link = tmp_path / "link.poof"
    link.symlink_to(path)
    async with await PoofCluster.create(link, KEY) as cluster:
        await (await people_of(cluster)).insert({"n": 1})
        assert names(path.parent) == ["cluster.poof", "cluster.poof-shm", "cluster.poof-wal"]
    assert link.is_symlink()
    assert await read_numbers(path) == [1]
