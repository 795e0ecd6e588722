"""Several clusters on one file, in one process and in many; and programs that end in every way."""

import asyncio
import signal
import sys

import pytest
from cryptography.fernet import Fernet

import poof
from poof import PoofCluster

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="

USE = """
import asyncio, gc, os, sys, threading
from poof import PoofCluster

path, key = sys.argv[1], sys.argv[2]

async def insert(people, numbers):
    for n in numbers:
        await people.insert({"n": n})

async def start():
    cluster = await PoofCluster.create(path, key)
    people = await (await cluster.get_database("db")).get_collection("people")
    await insert(people, range(10))
    return cluster, people

"""

ENDINGS = {
    "falls off the end": (0, "asyncio.run(start())"),
    "keeps the cluster in a global": (0, "cluster, people = asyncio.run(start())"),
    "keeps the cluster in a cycle": (
        0,
        """
class Holder: pass
holder = Holder()
holder.me, holder.cluster = holder, asyncio.run(start())
""",
    ),
    "keeps the cluster in a module that ends last": (0, "sys.kept = asyncio.run(start())"),
    "saves and does not close": (
        0,
        """
async def main():
    cluster, people = await start()
    await cluster.save()
asyncio.run(main())
""",
    ),
    "exits in the middle of main": (
        3,
        """
async def main():
    cluster, people = await start()
    sys.exit(3)
asyncio.run(main())
""",
    ),
    "ends by an exception": (
        1,
        """
async def main():
    cluster, people = await start()
    raise RuntimeError("as planned")
asyncio.run(main())
""",
    ),
    "drops the cluster and goes on": (
        0,
        """
asyncio.run(start())
gc.collect()
for thread in threading.enumerate():
    if thread.name.startswith("poof"):
        thread.join(30)
assert not os.path.exists(path + "-wal"), "the log is still there"
""",
    ),
    "ends with calls under way": (
        0,
        """
async def main():
    cluster, people = await start()
    asyncio.create_task(insert(people, range(100, 200)))
    await asyncio.sleep(0)
asyncio.run(main())
""",
    ),
    "opens a second cluster and closes one": (
        0,
        """
async def main():
    cluster, people = await start()
    await (await PoofCluster.create(path, key)).close()
    return cluster
kept = asyncio.run(main())
""",
    ),
    "forks a child that ends": (
        0,
        """
import warnings
warnings.simplefilter("ignore")
kept = asyncio.run(start())
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
assert child > 0
""",
    ),
}

WAIT_FOR_A_SIGNAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background inherits as ignored
async def main():
    cluster, people = await start()
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


def names(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def people_of(cluster):
    return await (await cluster.get_database("db")).get_collection("people")


async def read_numbers(path):
    async with await PoofCluster.create(path, KEY) as cluster:
        return [doc.data["n"] for doc in await (await people_of(cluster)).find_all()]


@pytest.mark.parametrize(("code", "ending"), ENDINGS.values(), ids=ENDINGS)
async def test_a_program_that_does_not_close_ends_and_leaves_one_file_with_every_insert(
    path, start_python, code, ending
):
    if "fork" in ending and sys.platform == "win32":
        pytest.skip("no fork on Windows")
    process = start_python(USE + ending, path, KEY, cwd=path.parent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors == "" or (code == 1 and errors.endswith("RuntimeError: as planned\n"))
    assert names(path.parent) == ["cluster.poof"]
    assert (await read_numbers(path))[:10] == list(range(10))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
async def test_a_program_that_is_interrupted_ends_and_leaves_one_file_with_every_insert(path, start_python):
    process = start_python(USE + WAIT_FOR_A_SIGNAL, path, KEY, cwd=path.parent)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.endswith("KeyboardInterrupt\n")
    assert names(path.parent) == ["cluster.poof"]
    assert await read_numbers(path) == list(range(10))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_program_that_is_killed_loses_no_insert(path, start_python, number):
    process = start_python(USE + WAIT_FOR_A_SIGNAL, path, KEY, cwd=path.parent)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert await read_numbers(path) == list(range(10))
    assert names(path.parent) == ["cluster.poof"]


CREATE_WITH_OTHERS = """
import asyncio, sys
from poof import PoofCluster

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    async with await PoofCluster.create(sys.argv[1], sys.argv[2], timeout=50) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        for n in range(5):
            await people.insert({"n": [int(sys.argv[3]), n]})

asyncio.run(main())
"""


def all_at_once(processes):
    """Lets processes that wait for it go on, and returns how each of them ended."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [(process.communicate(timeout=60)[1], process.returncode) for process in processes]


async def test_processes_that_create_one_file_at_once_end_up_in_one_cluster(path, start_python):
    count = 6
    processes = [start_python(CREATE_WITH_OTHERS, path, KEY, n, cwd=path.parent) for n in range(count)]
    assert all_at_once(processes) == [("", 0)] * count
    found = await read_numbers(path)
    assert sorted(found) == [[process, n] for process in range(count) for n in range(5)]
    for process in range(count):
        assert [n for by, n in found if by == process] == list(range(5))
    assert names(path.parent) == ["cluster.poof"]


def test_of_processes_that_create_one_file_with_different_keys_one_wins(path, start_python):
    keys = [Fernet.generate_key().decode() for _ in range(3)]
    processes = [start_python(CREATE_WITH_OTHERS, path, key, n, cwd=path.parent) for n, key in enumerate(keys)]
    ended = all_at_once(processes)
    assert sorted(code for _, code in ended) == [0, 1, 1]
    assert all("WrongKeyError: Decryption failed" in errors for errors, code in ended if code)
    assert names(path.parent) == ["cluster.poof"]


async def test_two_clusters_on_one_file_see_each_others_writes(path):
    async with await PoofCluster.create(path, KEY) as one, await PoofCluster.create(path, KEY) as other:
        people, same = await people_of(one), await people_of(other)
        doc = await people.insert({"n": 1})
        assert await same.find_by_id(doc.objId) == doc
        await same.update(doc.objId, {"n": 2})
        assert (await people.find_by_id(doc.objId)).data == {"n": 2}
        assert await people.delete(doc.objId) is True
        assert await same.find_all() == []


async def test_two_clusters_on_one_file_write_at_once(path):
    async with await PoofCluster.create(path, KEY) as one, await PoofCluster.create(path, KEY) as other:
        people, same = await people_of(one), await people_of(other)
        await asyncio.gather(*(it.insert({"n": n}) for n in range(50) for it in (people, same)))
        assert len(await people.find_all()) == 100


async def test_two_clusters_on_one_file_create_the_same_databases_at_once(path):
    async with await PoofCluster.create(path, KEY) as one, await PoofCluster.create(path, KEY) as other:
        for n in range(10):
            database, same = await asyncio.gather(*(it.get_database(f"db {n}") for it in (one, other)))
            people, same_people = await asyncio.gather(*(it.get_collection("people") for it in (database, same)))
            doc = await people.insert({"n": n})
            assert await same_people.find_all() == [doc]


async def test_the_limit_of_databases_holds_for_clusters_that_create_them_at_once(path):
    async with await PoofCluster.create(path, KEY) as one, await PoofCluster.create(path, KEY) as other:
        made = await asyncio.gather(
            *(it.get_database(f"{n} of {id(it)}") for n in range(8) for it in (one, other)), return_exceptions=True
        )
        assert [type(it) for it in made].count(poof.PoofDatabase) == 10
        assert [type(it) for it in made].count(poof.LimitError) == 6


async def test_of_two_clusters_on_one_file_one_goes_on_when_the_other_closes(path):
    async with await PoofCluster.create(path, KEY) as one:
        people = await people_of(one)
        await people.insert({"n": 1})
        other = await PoofCluster.create(path, KEY)
        await (await people_of(other)).insert({"n": 2})
        await other.close()
        await people.insert({"n": 3})
    assert await read_numbers(path) == [1, 2, 3]
    assert names(path.parent) == ["cluster.poof"]


TRY_SQLITES_LOCK = """
import fcntl, os, sys

SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
try:
    fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
except OSError:
    print("held")
else:
    print("free")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
async def test_failed_and_finished_openings_in_this_process_drop_none_of_its_locks(path, run_python):
    """POSIX drops all of a process's locks on a file when the process closes any descriptor of it."""

    def lock():
        return run_python(TRY_SQLITES_LOCK, path, cwd=path.parent)

    async with await PoofCluster.create(path, KEY) as cluster:
        people = await people_of(cluster)
        await people.insert({"n": 1})
        assert lock() == "held\n"
        await (await PoofCluster.create(path, KEY)).close()
        assert lock() == "held\n"
        with pytest.raises(poof.WrongKeyError):
            await PoofCluster.create(path, Fernet.generate_key())
        with pytest.raises(poof.KeyRequiredError):
            await PoofCluster.create(path)
        with pytest.raises(poof.StorageError):
            await cluster.export_legacy(path)
        assert lock() == "held\n"
    assert lock() == "free\n"


OPEN_INSERT_AND_CLOSE = """
import asyncio, sys
from poof import PoofCluster

async def main():
    async with await PoofCluster.create(sys.argv[1], sys.argv[2]) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert({"n": "other process"})

asyncio.run(main())
"""


async def test_a_process_that_opens_and_closes_the_file_leaves_the_log_to_those_who_have_it_open(path, run_python):
    async with await PoofCluster.create(path, KEY) as cluster:
        people = await people_of(cluster)
        await people.insert({"n": 1})
        run_python(OPEN_INSERT_AND_CLOSE, path, KEY, cwd=path.parent)
        assert names(path.parent) == ["cluster.poof", "cluster.poof-shm", "cluster.poof-wal"]
        await people.insert({"n": 2})
        assert [doc.data["n"] for doc in await people.find_all()] == [1, "other process", 2]
    assert await read_numbers(path) == [1, "other process", 2]
