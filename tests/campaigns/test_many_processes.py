"""Several processes on one cluster: sums that are exact, transfers that are killed, locks that are waited for."""

import asyncio
import random
import sys

import pytest

from poof.errors import BusyError
from tests.support.faults.campaign import SEED
from tests.support.people import KEY, PROGRAM, names, open_people

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and forks")


@pytest.fixture
def start_people(start_python):
    """Starts a program that can open the people."""
    return lambda code, *args: start_python(PROGRAM + code, *args)


def ended(processes):
    return [(process.communicate(timeout=60)[1], process.returncode) for process in processes]


COUNT = """
async def main(obj_id, times):
    cluster, people = await open_people(timeout=60)
    async with cluster:
        for _ in range(times):
            async with cluster.transaction():
                n = (await people.find_by_id(obj_id)).data["n"]
                await people.update(obj_id, {"n": n + 1})

asyncio.run(main(sys.argv[3], int(sys.argv[4])))
"""


async def test_a_counter_that_four_processes_add_to_is_exact(path, start_people):
    async def counter(value=None):
        cluster, people = await open_people(path)
        async with cluster:
            return await people.insert({"n": 0}) if value is None else await people.find_by_id(value)

    doc = await counter()
    processes = [start_people(COUNT, path, KEY, doc.objId, 50) for _ in range(4)]
    assert ended(processes) == [("", 0)] * 4
    assert (await counter(doc.objId)).data == {"n": 200}
    assert names(path) == ["cluster.poof"]


TRANSFER = """
async def main(seed):
    rng = random.Random(seed)
    cluster, people = await open_people(timeout=60)
    audit = await (await cluster.get_database("other")).get_collection("audit")
    ids = [doc.objId for doc in await people.find_all()]
    print("ready", flush=True)
    while True:
        giver, taker = rng.sample(ids, 2)
        try:
            async with cluster.transaction():
                amount = rng.randrange(50)
                docs = [await people.find_by_id(obj_id) for obj_id in (giver, taker)]
                await people.update(giver, {"n": docs[0].data["n"] - amount})
                if rng.random() < 0.2:
                    raise ZeroDivisionError
                async with cluster.transaction():
                    await people.update(taker, {"n": docs[1].data["n"] + amount})
                    await audit.insert({"n": amount, "text": "x" * rng.choice([10, 70_000])})
        except ZeroDivisionError:
            pass
        if rng.random() < 0.02:
            try:
                await cluster.save()
            except BusyError:
                pass
        assert sum(doc.data["n"] for doc in await people.find_all()) == 1_000

asyncio.run(main(int(sys.argv[3])))
"""


def transfer(run, path, start_people, kills):
    rng = random.Random(SEED)

    async def prepare():
        cluster, people = await open_people(path)
        async with cluster:
            await people.insert_many([{"n": 100} for _ in range(10)])
            await cluster.save()

    async def check():
        cluster, people = await open_people(path, timeout=60)
        async with cluster:
            assert sum(doc.data["n"] for doc in await people.find_all()) == 1_000
            assert cluster._engine._calls._writer.store._connection.execute("PRAGMA integrity_check").get == "ok"

    def start():
        process = start_people(TRANSFER, path, KEY, rng.randrange(2**32))
        assert process.stdout.readline() == "ready\n"
        return process

    run(prepare())
    processes = [start() for _ in range(4)]
    for _ in range(kills):
        index = rng.randrange(4)
        assert processes[index].poll() is None, processes[index].communicate()[1]
        processes[index].kill()
        processes[index].communicate()
        if rng.random() < 0.3:
            run(check())
        processes[index] = start()
    for process in processes:
        process.kill()
        assert process.communicate()[1] == ""
    run(check())
    assert names(path) == ["cluster.poof"]


def test_transfers_of_four_processes_that_are_killed_lose_no_money(run, path, start_people):
    transfer(run, path, start_people, kills=4)


@pytest.mark.campaign
def test_transfers_of_four_processes_that_are_killed_for_long_lose_no_money(run, path, start_people):
    transfer(run, path, start_people, kills=200)


HOLD = """
async def main():
    cluster, people = await open_people()
    async with cluster:
        async with cluster.transaction():
            await people.insert({"n": "held"})
            print("held", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
    print("closed", flush=True)

asyncio.run(main())
"""

WRITES = {
    "insert": lambda cluster, people: people.insert({}),
    "large insert": lambda cluster, people: people.insert({"text": "x" * 100_000}),
    "group": lambda cluster, people: asyncio.gather(*(people.insert({}) for _ in range(100))),
    "insert_many": lambda cluster, people: people.insert_many([{}]),
    "transaction": lambda cluster, people: cluster.transaction().__aenter__(),
    "collection": lambda cluster, people: cluster.get_database("new"),
    "save": lambda cluster, people: cluster.save(),
}


async def test_a_write_beside_another_process_s_transaction_is_busy_and_the_loop_goes_on(path, start_people):
    cluster, people = await open_people(path, timeout=0.05)
    async with cluster:
        doc = await people.insert({"n": "first"})
        process = start_people(HOLD, path, KEY)
        assert await asyncio.to_thread(process.stdout.readline) == "held\n"
        for write in WRITES.values():
            turns = 0
            task = asyncio.ensure_future(write(cluster, people))
            while not task.done():
                turns += 1
                assert await people.find_by_id(doc.objId) == doc
                await asyncio.sleep(0)
            with pytest.raises(BusyError, match=r"cluster\.poof"):
                await task
            assert turns > 10
        assert await people.find_all() == [doc]
        process.stdin.write("end\n")
        process.stdin.flush()
        assert await asyncio.to_thread(process.stdout.readline) == "closed\n"
        await people.insert({"n": "last"})
        assert [doc.data["n"] for doc in await people.find_all()] == ["first", "held", "last"]


async def test_a_write_waits_for_another_process_s_transaction(path, start_people):
    cluster, people = await open_people(path, timeout=600)
    async with cluster:
        process = start_people(HOLD, path, KEY)
        assert await asyncio.to_thread(process.stdout.readline) == "held\n"
        write = asyncio.create_task(people.insert({"n": "waited"}))
        for _ in range(3):
            await asyncio.sleep(0)
        assert cluster._engine._calls._writer.is_held
        process.stdin.write("end\n")
        process.stdin.flush()
        await write
        assert [doc.data["n"] for doc in await people.find_all()] == ["held", "waited"]


OPEN_AND_CLOSE = """
async def main():
    for n in range(25):
        cluster, people = await open_people(timeout=60)
        async with cluster:
            await people.insert({"n": n})

asyncio.run(main())
"""


async def test_processes_that_open_and_close_one_file_all_the_time_wait_for_each_other(path, start_people):
    """The last to close it has it for itself while it moves the log into the file."""
    processes = [start_people(OPEN_AND_CLOSE, path, KEY) for _ in range(4)]
    assert ended(processes) == [("", 0)] * 4

    async def count():
        cluster, people = await open_people(path)
        async with cluster:
            return len(await people.find_all())

    assert await count() == 100
