"""Where a cluster may be used: on its own loop, in its own process, alone or not, with and without writing."""

import asyncio
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from poof.errors import ReadOnlyError, WrongLoopError
from tests.support.people import KEY, PROGRAM, names, open_people

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and forks")


@pytest.fixture
def start_people(start_python):
    """Starts a program that can open the people."""
    return lambda code, *args: start_python(PROGRAM + code, *args)


def ended(processes):
    return [(process.communicate(timeout=60)[1], process.returncode) for process in processes]


async def test_a_cluster_is_refused_on_another_loop_and_in_another_thread(path):
    errors = []

    async def use(cluster, people, doc):
        calls = [people.insert({}), people.find_by_id(doc.objId), people.find_all(), cluster.save(), cluster.close()]
        calls += [people.insert_many([{}]), anext(aiter(people.find())), cluster.get_database("db")]
        calls.append(cluster.transaction().__aenter__())
        errors.extend(await asyncio.gather(*calls, return_exceptions=True))

    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            doc = await people.insert({"n": 1})
            thread = threading.Thread(target=lambda: asyncio.run(use(cluster, people, doc)))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert [type(error) for error in errors] == [WrongLoopError] * 9
            assert await people.find_all() == [doc]

    await story()


FORK_IN_A_LOOP = """
import warnings

async def use(cluster, people):
    calls = [people.insert({}), people.find_all(), people.find_by_id("x" * 12), cluster.save(), cluster.close()]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [WrongLoopError] * 5, errors

async def main():
    cluster, people = await open_people()
    await people.insert({"n": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.events._set_running_loop(None)
            asyncio.run(use(cluster, people))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    for n in range(2, 50):
        await people.insert({"n": n})
    assert [doc.data["n"] for doc in await people.find_all()] == list(range(1, 50))
    await cluster.save()
    await cluster.close()

asyncio.run(main())
"""

# The child ends as any program does. It shares the loop's selector with its parent, so that must not be the kernel's.
FORK_BETWEEN_RUNS = """
import gc, selectors, warnings

loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
cluster, people = loop.run_until_complete(open_people())
loop.run_until_complete(people.insert_many([{"n": n} for n in range(1_000)]))
documents = aiter(people.find())
loop.run_until_complete(anext(documents))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    child = os.fork()
if child == 0:
    warnings.simplefilter("ignore")
    if sys.argv[3] == "collects":
        del cluster, people, documents
        gc.collect()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
loop.run_until_complete(people.insert({"n": 1_000}))
assert len(loop.run_until_complete(people.find_all())) == 1_001
loop.run_until_complete(documents.aclose())
loop.run_until_complete(cluster.save())
loop.run_until_complete(cluster.close())
loop.close()
"""


@pytest.mark.parametrize(
    ("program", "how"), [(FORK_IN_A_LOOP, ""), (FORK_BETWEEN_RUNS, "keeps"), (FORK_BETWEEN_RUNS, "collects")]
)
def test_a_fork_is_refused_and_harms_nothing(path, start_people, program, how):
    process = start_people(program, path, KEY, how)
    assert ended([process]) == [("", 0)]
    assert names(path) == ["cluster.poof"]


TRY = """
async def main():
    try:
        cluster, people = await open_people(timeout=0)
        print([doc.data["n"] for doc in await people.find_all()])
        await cluster.close()
    except BusyError as error:
        assert sys.argv[1] in str(error)
        print("busy")

asyncio.run(main())
"""


async def test_an_exclusive_cluster_has_no_shm_and_keeps_other_processes_out(path, start_people):
    async def story():
        cluster, people = await open_people(path, exclusive=True)
        async with cluster:
            await people.insert_many([{"n": n} for n in range(100)])
            assert len([doc async for doc in people.find()]) == 100
            async with cluster.transaction():
                await people.insert({"n": 100})
                assert len(await asyncio.create_task(asyncio.sleep(0, []))) == 0
            assert names(path) == ["cluster.poof", "cluster.poof-wal"]
            process = start_people(TRY, path, KEY)
            assert await asyncio.to_thread(process.communicate) == ("busy\n", "")

    await story()
    assert names(path) == ["cluster.poof"]
    process = start_people(TRY, path, KEY)
    assert process.communicate() == (f"{list(range(101))}\n", "")


@pytest.mark.parametrize("order", [(True, False), (False, True), (True, True)])
async def test_clusters_of_one_process_on_one_file_lose_nothing_where_one_is_exclusive(path, order):
    (one, people), (other, same) = [await open_people(path, exclusive=exclusive) for exclusive in order]
    for n in range(20):
        await (people, same)[n % 2].insert({"n": n})
        assert len(await people.find_all()) == len(await same.find_all()) == n + 1
    await one.close()
    await same.insert({"n": 20})
    await other.close()
    cluster, people = await open_people(path)
    async with cluster:
        assert [doc.data["n"] for doc in await people.find_all()] == list(range(21))
    assert names(path) == ["cluster.poof"]


INSERT = """
async def main():
    cluster, people = await open_people()
    async with cluster:
        await people.insert({"n": "first"})
        print("first", flush=True)
        sys.stdin.readline()
        await people.insert_many([{"n": n} for n in range(100)])
        print("more", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


async def test_a_cluster_opened_read_only_sees_what_another_process_commits(path, start_people):
    process = start_people(INSERT, path, KEY)
    assert process.stdout.readline() == "first\n"
    cluster, people = await open_people(path, read_only=True)
    async with cluster:
        assert [doc.data["n"] for doc in await people.find_all()] == ["first"]
        process.stdin.write("\n")
        process.stdin.flush()
        assert await asyncio.to_thread(process.stdout.readline) == "more\n"
        assert len(await people.find_all()) == len([doc async for doc in people.find()]) == 101
        with pytest.raises(ReadOnlyError):
            await people.insert({})
    process.stdin.write("\n")
    assert ended([process]) == [("", 0)]
    assert names(path) == ["cluster.poof"]


async def test_a_cluster_opened_read_only_changes_no_byte_of_the_file(path):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(100)])
    before = path.read_bytes(), path.stat().st_mtime_ns
    cluster, people = await open_people(path, read_only=True)
    async with cluster:
        assert len(await people.find_all()) == len([doc async for doc in people.find()]) == 100
        await cluster.save()
        with pytest.raises(ReadOnlyError):
            await cluster.get_database("new")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


READ_AS_NOBODY = """
import cryptography.fernet, orjson, poof.engines.sqlite.exchange.legacy

async def main():
    cluster, people = await open_people(read_only=True)
    async with cluster:
        print(len(await people.find_all()), len([doc async for doc in people.find()]))

if os.getuid() == 0:
    os.setuid(65534)
asyncio.run(main())
"""


@pytest.fixture
def public_path():
    """Where every user can read a file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "cluster.poof"
        Path(folder).chmod(0o755)


async def test_a_read_only_file_in_a_read_only_folder_can_be_read(public_path, start_people):
    cluster, people = await open_people(public_path)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(100)])
    public_path.chmod(0o444)
    public_path.parent.chmod(0o555)
    process = start_people(READ_AS_NOBODY, public_path, KEY)
    assert process.communicate() == ("100 100\n", "")


@pytest.mark.parametrize(
    "mode",
    [0o666, 0o644],
)
async def test_another_user_reads_beside_a_writer(public_path, start_people, mode):
    cluster, people = await open_people(public_path)
    await cluster.close()
    public_path.chmod(mode)
    cluster, people = await open_people(public_path)
    async with cluster:
        await people.insert_many([{"n": n} for n in range(100)])
        process = start_people(READ_AS_NOBODY, public_path, KEY)
        assert await asyncio.to_thread(process.communicate) == ("100 100\n", "")


async def test_what_a_lone_reader_leaves_beside_the_file_goes_with_the_next_writer(path):
    """SQLite makes a log and its index for readers too, who may not remove them."""
    for options in ({}, {"read_only": True}):
        cluster, people = await open_people(path, **options)
        async with cluster:
            assert await people.find_all() == []
    assert path.with_name("cluster.poof-wal").stat().st_size == 0
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert({"n": 1})
    assert names(path) == ["cluster.poof"]
