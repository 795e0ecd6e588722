"""What only PoofDB is asked: how long it holds the event loop, and how much memory a stream of documents takes.

    python benchmarks/loop.py lateness|stream DOCUMENTS FOLDER

Prints JSON; for the median, the 99th percentile and the worst lateness of a timer of one millisecond while each work
runs, in milliseconds; for the stream, the peak memory of the process, in MiB.
"""

import asyncio
import contextlib
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from documents import Document, make_documents
from works import peak_memory

from poof import PoofCluster

TICK = 0.001
UPDATES = 30_000
CHUNK = 1_000


@contextlib.asynccontextmanager
async def watched_loop(lateness: dict[str, list[float]], work: str) -> AsyncIterator[None]:
    """Notes by how much a task that sleeps a millisecond at a time wakes too late."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            late.append((time.perf_counter() - due) * 1000)

    ticker = asyncio.create_task(tick())
    try:
        yield
        await asyncio.sleep(2 * TICK)  # what came too late is noted, too
    finally:
        ticker.cancel()
    ordered = sorted(late)
    lateness[work] = [statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1]]


async def measure_lateness(folder: Path, size: int) -> dict[str, list[float]]:
    lateness: dict[str, list[float]] = {}
    async with PoofCluster.create(folder / "lateness.poof") as cluster:
        collection = await (await cluster.get_database("db")).get_collection("documents")
        async with watched_loop(lateness, "nothing"):
            await asyncio.sleep(1)
        documents = make_documents(0, min(size, CHUNK))
        repeated = documents * (size // len(documents))
        async with watched_loop(lateness, "bulk insert"):
            result = await collection.insert_many(repeated)
        async with watched_loop(lateness, "save"):
            await cluster.save()
        async with watched_loop(lateness, "scan"):
            async for _ in collection.find():
                pass
        async with watched_loop(lateness, "create an index"):
            await collection.create_index("number")
        # Each update writes a page or two, and a checkpoint begins at the latest when 16,384 of them are in the log.
        async with watched_loop(lateness, "updates, checkpoints"):
            for number in range(min(size, UPDATES)):
                await collection.update(random.choice(result.inserted_ids), documents[number % len(documents)])
    return lateness


async def stream_in_and_out(folder: Path, size: int) -> float:
    async def documents() -> AsyncIterator[Document]:
        for first in range(0, size, CHUNK):
            for document in make_documents(first, min(CHUNK, size - first)):
                yield document

    async with PoofCluster.create(folder / "stream.poof") as cluster:
        collection = await (await cluster.get_database("db")).get_collection("documents")
        await collection.insert_many(documents())
        count = 0
        async for _ in collection.find():
            count += 1
        assert count == size
    return peak_memory()


if __name__ == "__main__":
    measure = {"lateness": measure_lateness, "stream": stream_in_and_out}[sys.argv[1]]
    print(json.dumps(asyncio.run(measure(Path(sys.argv[3]), int(sys.argv[2])))))
