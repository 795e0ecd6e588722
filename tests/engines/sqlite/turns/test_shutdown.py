"""A program ends, in every way and at every moment: at once, without a word from us, with one file and every write."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import poof
from poof import PoofCluster

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="
ACKNOWLEDGED = 2_000

PROGRAM = """
import asyncio, gc, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background inherits as ignored
from poof import PoofCluster

async def forever():
    await asyncio.get_running_loop().create_future()

async def nothing(cluster, people, reached):
    reached.set()

async def in_a_transaction(cluster, people, reached):
    async with cluster.transaction():
        await people.insert({"n": "lost"})
        async with cluster.transaction():
            await people.insert_many([{"n": "lost"}] * 3_000)
            reached.set()
            await forever()

async def in_a_call_of_a_transaction(cluster, people, reached):
    async with cluster.transaction():
        await people.insert({"n": "lost"})
        reached.set()
        while True:
            await people.find_all()

async def before_a_transaction(cluster, people, reached):
    reached.set()
    async with cluster.transaction():
        await forever()

async def in_an_insert_many(cluster, people, reached):
    async def items():
        for _ in range(1_000):
            yield {"n": "lost"}
        reached.set()
        await forever()
    await people.insert_many(items())

async def in_a_large_insert_many(cluster, people, reached):
    asyncio.get_running_loop().call_later(0.01, reached.set)
    await people.insert_many([{"n": "lost", "text": "x" * 1_000}] * 200_000)

async def in_a_stream(cluster, people, reached):
    async for _ in people.find():
        reached.set()
        await forever()

async def in_a_chunk_of_a_stream(cluster, people, reached):
    reached.set()
    while True:
        async for _ in people.find():
            pass

async def in_a_long_read(cluster, people, reached):
    reached.set()
    while True:
        await people.find_all()

async def in_a_save(cluster, people, reached):
    asyncio.get_running_loop().call_soon(reached.set)
    await cluster.save()
    await forever()

async def in_a_checkpoint(cluster, people, reached):
    cluster._engine._calls._checkpointer._due = 1
    await people.insert({"n": ACKNOWLEDGED})
    reached.set()

async def in_a_close(cluster, people, reached):
    asyncio.get_running_loop().call_soon(reached.set)
    await cluster.close()
    await forever()

async def main(moment, ending):
    cluster = await PoofCluster.create(sys.argv[1], sys.argv[2])
    people = await (await cluster.get_database("db")).get_collection("people")
    await people.insert_many([{"n": n, "text": "x" * 1_000} for n in range(ACKNOWLEDGED - 10)])
    await asyncio.gather(*(people.insert({"n": n}) for n in range(ACKNOWLEDGED - 10, ACKNOWLEDGED)))
    reached = asyncio.Event()
    task = asyncio.create_task(globals()[moment](cluster, people, reached))
    await reached.wait()
    if ending == "raises":
        raise RuntimeError("as planned")
    if ending == "exits":
        sys.exit(3)
    if ending == "is kept":
        sys.kept = cluster, people, task
    if ending == "waits":
        print("ready", flush=True)
        while True:  # a signal just before the loop waits does not wake it
            await asyncio.sleep(0.01)

asyncio.run(main(*sys.argv[3:]))
"""

MOMENTS = re.findall(r"async def (\w+)\(cluster, people, reached\)", PROGRAM)
ENDINGS = {"returns": 0, "is kept": 0, "raises": 1, "exits": 3, "waits": 1}
LAST_LINES = {"raises": "RuntimeError: as planned\n", "waits": "KeyboardInterrupt\n"}


async def read_numbers(path):
    async with await PoofCluster.create(path, KEY) as cluster:
        assert cluster._engine._calls._writer.store._connection.execute("PRAGMA integrity_check").get == "ok"
        people = await (await cluster.get_database("db")).get_collection("people")
        return [doc.data["n"] for doc in await people.find_all()]


def run_program(code, *args, interrupt=False):
    environment = {**os.environ, "PYTHONPATH": str(Path(poof.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", code, *map(str, args)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            if interrupt:
                assert process.stdout.readline() == "ready\n"
                process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, errors


# Every moment with two endings; all of them in the campaign.
CASES = [
    pytest.param(moment, ending, marks=() if (n + m) % len(ENDINGS) in (0, 2) else pytest.mark.campaign)
    for n, moment in enumerate(MOMENTS)
    for m, ending in enumerate(ENDINGS)
]


@pytest.mark.parametrize(("moment", "ending"), CASES)
async def test_a_program_that_does_not_close_its_cluster_ends_cleanly(path, moment, ending):
    if ending == "waits" and sys.platform == "win32":
        pytest.skip("POSIX signals")
    code, errors = run_program(
        PROGRAM.replace("ACKNOWLEDGED", str(ACKNOWLEDGED)), path, KEY, moment, ending, interrupt=ending == "waits"
    )
    assert code == ENDINGS[ending] or (ending == "waits" and code == -signal.SIGINT)
    if ending in LAST_LINES:
        assert errors.endswith(LAST_LINES[ending])
        assert errors.count("Traceback") <= 2 if ending == "waits" else errors.count("Traceback") == 1
        assert "poof" not in errors or moment == "nothing"
    else:
        assert errors == ""
    assert [file.name for file in path.parent.iterdir()] == ["cluster.poof"]
    assert await read_numbers(path) == list(range(ACKNOWLEDGED + (moment == "in_a_checkpoint")))


DROP = """
import asyncio, gc, os, sys, threading
from poof import PoofCluster

async def main():
    for n in range(20):
        cluster = await PoofCluster.create(sys.argv[1], sys.argv[2])
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert({"n": n, "text": "x" * 100_000})
        documents = aiter(people.find())
        await anext(documents)
        cycle = [cluster, people, documents]
        cycle.append(cycle)
        del cluster, people, documents, cycle
        gc.collect()

asyncio.run(main())
gc.collect()
for thread in threading.enumerate():
    if thread.name.startswith("poof"):
        thread.join(30)
assert os.listdir(os.path.dirname(sys.argv[1])) == ["cluster.poof"]
"""


async def test_clusters_that_are_dropped_are_closed_while_the_program_goes_on(path):
    assert run_program(DROP, path, KEY) == (0, "")
    assert await read_numbers(path) == list(range(20))


SECOND_RUN = """
import asyncio, sys
from poof import PoofCluster

async def start():
    cluster = await PoofCluster.create(sys.argv[1], sys.argv[2])
    people = await (await cluster.get_database("db")).get_collection("people")
    await people.insert_many([{"n": n} for n in range(20)])
    return cluster, people

async def go_on(cluster, people):
    for call in (people.find_all(), people.insert({}), cluster.close()):
        try:
            await call
        except RuntimeError as error:
            assert type(error).__name__ == "WrongLoopError"
        else:
            raise AssertionError
    async with await PoofCluster.create(sys.argv[1], sys.argv[2]) as again:
        same = await (await again.get_database("db")).get_collection("people")
        assert len(await same.find_all()) == 20

asyncio.run(go_on(*asyncio.run(start())))
"""


async def test_a_cluster_whose_loop_has_ended_is_refused_and_can_be_opened_again(path):
    assert run_program(SECOND_RUN, path, KEY) == (0, "")
    assert [file.name for file in path.parent.iterdir()] == ["cluster.poof"]
    assert await read_numbers(path) == list(range(20))
