"""Several processes read, write, open and close a file while others replace its data key and compact it."""

import subprocess

import pytest

from poof import PoofCluster

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="

# Each worker has numbers of its own, and checks its own documents. Ends when its input does; says how much it did.
WORK = """
    import asyncio, logging, random, select, sys
    from poof import BusyError, LimitError, PoofCluster

    logging.getLogger("poof").setLevel(logging.ERROR)  # whoever opens the file meanwhile is warned

    def goes_on():
        return not select.select([sys.stdin], [], [], 0)[0]

    async def work(path, key, worker, kind):
        rng = random.Random(worker)
        mine, n = {}, 0
        cluster = await PoofCluster.create(path, key, timeout=30, cache_mib=1)
        while goes_on():
            n += 1
            people = await (await cluster.get_database("db")).get_collection("people")
            text = "x" * rng.choice([10, 500, 5_000])
            if rng.random() < 0.6 or not mine:
                doc = await people.insert({"worker": worker, "n": n, "text": text})
                mine[doc.objId] = n
            else:
                obj_id = rng.choice(list(mine))
                await people.update(obj_id, {"worker": worker, "n": (n_of := mine[obj_id]), "text": text})
                assert (await people.find_by_id(obj_id)).data["n"] == n_of
            if n % 20 == 0:
                found = await people.find({"worker": worker}).to_list()
                assert {doc.objId: doc.data["n"] for doc in found} == mine
                if kind == "opens":
                    await cluster.close()
                    cluster = await PoofCluster.create(path, key, timeout=30, cache_mib=1)
        await cluster.close()
        print(len(mine))

    async def rewrite(path, key):
        times = 0
        async with await PoofCluster.create(path, key, timeout=30) as cluster:
            while goes_on():
                try:
                    await cluster.rotate(remove_others=True)
                    await cluster.compact()
                    await cluster.add_key(label="x")
                except (BusyError, LimitError):
                    continue  # the other one was in the way
                times += 1
        print(times)

    path, key, worker, kind = sys.argv[1:]
    asyncio.run(rewrite(path, key) if kind == "rewrites" else work(path, key, worker, kind))
"""


def check_in_use(run, path, start_python, seconds):
    async def create():
        async with await PoofCluster.create(path, KEY) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            await people.create_index("worker")

    async def count():
        async with await PoofCluster.create(path, KEY) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            assert cluster._engine._calls._writer.store._connection.execute("PRAGMA integrity_check").get == "ok"
            await cluster.rotate(remove_others=True)
            assert len(await cluster.keys()) == 1
            return await people.count_documents()

    run(create())
    kinds = ["works", "works", "opens", "rewrites", "rewrites"]
    workers = [start_python(WORK, path, KEY, n, kind, cwd=path.parent) for n, kind in enumerate(kinds)]
    with pytest.raises(subprocess.TimeoutExpired):  # or one that failed has ended
        workers[-1].wait(timeout=seconds)
    ended = [worker.communicate("end\n", timeout=120) for worker in workers]
    assert [(worker.returncode, errors) for worker, (_, errors) in zip(workers, ended, strict=True)] == 5 * [(0, "")]
    *documents, one, other = [int(output) for output, _ in ended]
    assert one + other >= 1
    assert run(count()) == sum(documents) > 0


@pytest.mark.campaign
def test_nobody_loses_anything_while_the_file_is_rewritten_again_and_again(run, path, start_python):
    check_in_use(run, path, start_python, 30)
