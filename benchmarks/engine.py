"""The engine against its peers: reads, writes, scans, opening, and how long the event loop is held.

    python -m pip install '.[bench]'
    python benchmarks/engine.py [--documents 100000] [--rounds 7] [--json FILE]

Everything is measured in one run, the peers in turn within each round, so that a change of the machine's speed falls
on all of them. The table gives the median of the rounds, and the median of PoofDB's ratio to each peer in a round.
"""

import argparse
import asyncio
import contextlib
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

sys.path.insert(0, str(Path(__file__).parent))

from peers import Peer, make_document, open_aiosqlite, open_poof, open_sqlcipher

from poof import PoofCluster

CALLS = 1_000
CONCURRENT = 1_000
UPDATES = 30_000
TICK = 0.001

Rates = dict[str, dict[str, list[float]]]
"""Operations a second, by work and peer, one for each round."""


async def measure(operations: int, work: Callable[[], Awaitable[Any]]) -> float:
    start = time.perf_counter()
    await work()
    return operations / (time.perf_counter() - start)


async def one_by_one(call: Callable[[Any], Awaitable[Any]], arguments: list[Any]) -> list[Any]:
    return [await call(argument) for argument in arguments]


async def measure_round(peer: Peer, ids: list[str], rates: Rates) -> None:
    def note(work: str, rate: float) -> None:
        rates.setdefault(work, {}).setdefault(peer.name, []).append(rate)

    chosen = random.sample(ids, min(CALLS, len(ids)))
    await one_by_one(peer.find, chosen)
    note("find_by_id, warm", await measure(len(chosen), lambda: one_by_one(peer.find, chosen)))

    documents = [make_document(number) for number in range(CALLS)]
    start = time.perf_counter()
    inserted = await one_by_one(peer.insert, documents)
    note("insert", CALLS / (time.perf_counter() - start))

    changes = [(obj_id, make_document(number)) for number, obj_id in enumerate(chosen)]
    note("update", await measure(len(changes), lambda: one_by_one(lambda change: peer.update(*change), changes)))
    note("delete", await measure(CALLS, lambda: one_by_one(peer.delete, inserted)))

    documents = [make_document(number) for number in range(CONCURRENT)]
    note(
        f"insert, {CONCURRENT:,} tasks at once",
        await measure(CONCURRENT, lambda: asyncio.gather(*[peer.insert(document) for document in documents])),
    )
    note("find_all", await measure(len(ids), peer.find_all))


async def measure_peers(folder: Path, key: str, size: int, rounds: int) -> Rates:
    rates: Rates = {}
    async with contextlib.AsyncExitStack() as stack:
        peers: list[Peer] = [
            await stack.enter_async_context(opening(folder, key))
            for opening in (open_poof, open_sqlcipher, open_aiosqlite)
        ]
        ids: dict[str, list[str]] = {peer.name: [] for peer in peers}
        bulks = 5
        for _ in range(bulks):
            documents = [make_document(number) for number in range(size // bulks)]
            for peer in peers:
                start = time.perf_counter()
                ids[peer.name] += await peer.insert_many(documents)
                rate = len(documents) / (time.perf_counter() - start)
                rates.setdefault("insert_many", {}).setdefault(peer.name, []).append(rate)
        for number in range(rounds):
            for peer in peers:
                print(f"\rround {number + 1} of {rounds}: {peer.name:12}", end="", file=sys.stderr)
                await measure_round(peer, ids[peer.name], rates)
    print(file=sys.stderr)
    return rates


@contextlib.asynccontextmanager
async def watched_loop(lateness: dict[str, list[float]], work: str) -> AsyncIterator[None]:
    """Notes by how much a task that sleeps a millisecond at a time wakes too late, in milliseconds."""
    late = lateness.setdefault(work, [])

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            late.append((time.perf_counter() - due) * 1000)

    ticker = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticker.cancel()


async def measure_lateness(folder: Path, size: int) -> dict[str, list[float]]:
    lateness: dict[str, list[float]] = {}
    async with await PoofCluster.create(folder / "lateness.poof") as cluster:
        collection = await (await cluster.get_database("db")).get_collection("documents")
        async with watched_loop(lateness, "nothing"):
            await asyncio.sleep(2)
        documents = [make_document(number) for number in range(1000)]
        async with watched_loop(lateness, "insert_many"):
            result = await collection.insert_many(documents * (size // 1000))
        async with watched_loop(lateness, "save"):
            await cluster.save()
        async with watched_loop(lateness, "scan"):
            async for _ in collection.find():
                pass
        async with watched_loop(lateness, "create_index"):
            await collection.create_index("number")
        # Each update writes a page or two, and a checkpoint begins whenever 4,096 of them are in the log.
        async with watched_loop(lateness, "updates, checkpoints"):
            for number in range(min(size, UPDATES)):
                await collection.update(random.choice(result.inserted_ids), documents[number % 1000])
    return lateness


def measure_opening(folder: Path, key: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from nothing to the first document, in a new event loop."""

    async def first(opening: Any, obj_id: str) -> float:
        start = time.perf_counter()
        async with opening(folder, key) as peer:
            await peer.find(obj_id)
            return (time.perf_counter() - start) * 1000

    async def an_id(opening: Any) -> str:
        async with opening(folder, key) as peer:
            return str(await peer.insert(make_document(0)))

    peers = {"PoofDB": open_poof, "sqlcipher3": open_sqlcipher, "aiosqlite": open_aiosqlite}
    ids = {name: asyncio.run(an_id(opening)) for name, opening in peers.items()}
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(3 * rounds):
        for name, opening in peers.items():
            times[name].append(asyncio.run(first(opening, ids[name])))
    return times


async def stream_in_and_out(path: str, size: int) -> None:
    """Run in a process of its own, whose peak memory counts."""

    async def documents() -> AsyncIterator[dict[str, Any]]:
        for number in range(size):
            yield make_document(number)

    async with await PoofCluster.create(path) as cluster:
        collection = await (await cluster.get_database("db")).get_collection("documents")
        await collection.insert_many(documents())
        count = 0
        async for _ in collection.find():
            count += 1
        assert count == size
    print(peak_memory())


def peak_memory() -> float:
    """The most memory that this process ever took, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage() would count the process that started this one, too
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(folder: Path, size: int) -> float:
    """Peak memory of a process that streams documents in and out, in MiB."""
    command = [sys.executable, __file__, "--stream", str(folder / "memory.poof"), "--documents", str(size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(results: dict[str, Any]) -> str:
    rates: Rates = results["rates"]
    lines = ["| work | PoofDB | sqlcipher3 | ratio | aiosqlite | ratio |", "|---|---:|---:|---:|---:|---:|"]
    for work, peers in rates.items():
        cells = [f"{statistics.median(peers['PoofDB']):,.0f}/s"]
        for peer in ("sqlcipher3", "aiosqlite"):
            ratio = statistics.median(a / b for a, b in zip(peers["PoofDB"], peers[peer], strict=True))
            cells += [f"{statistics.median(peers[peer]):,.0f}/s", f"{ratio:.2f}"]
        lines.append(f"| {work} | {' | '.join(cells)} |")
    opening = {peer: statistics.median(times) for peer, times in results["opening"].items()}
    lines.append(
        f"| open to first document | {opening['PoofDB']:.1f} ms | {opening['sqlcipher3']:.1f} ms | "
        f"{opening['sqlcipher3'] / opening['PoofDB']:.2f} | {opening['aiosqlite']:.1f} ms | "
        f"{opening['aiosqlite'] / opening['PoofDB']:.2f} |"
    )
    lines += ["", "| while this runs | a 1 ms timer is late: median | p99 | worst |", "|---|---:|---:|---:|"]
    for work, late in results["lateness"].items():
        ordered = sorted(late)
        p99 = ordered[int(len(ordered) * 0.99)]
        lines.append(f"| {work} | {statistics.median(late):.2f} ms | {p99:.2f} ms | {ordered[-1]:.2f} ms |")
    lines += [
        "",
        f"Peak memory while {results['documents']:,} documents stream in and out: {results['memory']:.0f} MiB.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--stream", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stream:
        asyncio.run(stream_in_and_out(arguments.stream, arguments.documents))
        return
    key = Fernet.generate_key().decode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "documents": arguments.documents,
            "rates": asyncio.run(measure_peers(folder, key, arguments.documents, arguments.rounds)),
            "opening": measure_opening(folder, key, arguments.rounds),
            "lateness": asyncio.run(measure_lateness(folder, arguments.documents)),
            "memory": measure_memory(folder, arguments.documents),
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    print(report(results))


if __name__ == "__main__":
    main()
