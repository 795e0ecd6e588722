"""What is measured: each work, how a peer is put through it, and the number that comes out."""

import asyncio
import itertools
import random
import resource
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from documents import STREETS, TAGS, Document, make_documents
from peers import Peer

CALLS = 1_000
"""In a row, or at once; no more than there are documents."""
COLD_CALLS = 200
CALLING_TIME = 0.5
"""Seconds after which a series of calls ends, however many were made."""
LONG_TIME = 3.0
"""Seconds that a long series takes: whatever a peer puts off comes due in it."""
QUICK = 0.02
"""A call that takes less than so many seconds is repeated until they are over."""
PARTS = 5
"""The documents are loaded in so many calls."""
IDS = 10_000
"""How many ids are remembered of all that were loaded."""


@dataclass
class Bench:
    """One peer at one size, and what is known about the documents it holds."""

    kind: type[Peer]
    folder: Path
    key: bytes
    size: int
    peer: Peer
    ids: list[Any] = field(default_factory=list)
    loaded: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def reopen(self) -> None:
        await self.peer.close()
        self.peer = await self.kind.open(self.folder, self.key)

    def more_documents(self) -> list[Document]:
        """For one series of calls."""
        return make_documents(self.loaded, min(CALLS, self.size))

    def some_ids(self, count: int) -> list[Any]:
        return self.chance.sample(self.ids, min(count, len(self.ids)))

    def street(self) -> str:
        return f"Street {self.chance.randrange(STREETS)}"

    def tag(self) -> str:
        return f"tag{self.chance.randrange(TAGS)}"


async def series(
    call: Callable[..., Awaitable[Any]], arguments: Iterable[tuple[Any, ...]], seconds: float = CALLING_TIME
) -> tuple[float, list[Any]]:
    """Calls a second, one after the other; and what they returned."""
    results = []
    start = time.perf_counter()
    for one in arguments:
        results.append(await call(*one))
        if time.perf_counter() - start > seconds:
            break
    return len(results) / (time.perf_counter() - start), results


async def milliseconds(call: Callable[[], Awaitable[Any]]) -> float:
    """Of one call; of many quick ones, their mean."""
    calls = 0
    start = time.perf_counter()
    while calls == 0 or time.perf_counter() - start < QUICK:
        await call()
        calls += 1
    return (time.perf_counter() - start) * 1000 / calls


async def load(bench: Bench) -> float:
    count = max(1, bench.size // PARTS)
    documents = make_documents(bench.loaded, count)
    start = time.perf_counter()
    ids = await bench.peer.insert_many(documents)
    seconds = time.perf_counter() - start
    bench.loaded += count
    bench.ids += random.sample(ids, min(IDS // PARTS, len(ids)))
    return count / seconds


async def memory(bench: Bench) -> float:
    """In a process of its own: opens what another has loaded, and goes through it."""
    if not any(bench.folder.iterdir()):  # a peer that keeps nothing
        for first in range(0, bench.size, 1000):
            await bench.peer.insert_many(make_documents(first, min(1000, bench.size - first)))
    await bench.peer.scan()
    return peak_memory()


def peak_memory() -> float:
    """The most memory that this process ever took, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage() would count the process that started this one, too
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def file_size(bench: Bench) -> float:
    await bench.peer.save()
    return sum(file.stat().st_size for file in bench.folder.rglob("*") if file.is_file()) / 2**20


async def insert(bench: Bench) -> float:
    rate, ids = await series(bench.peer.insert, [(document,) for document in bench.more_documents()])
    await bench.peer.delete_many(ids)
    return rate


async def insert_long(bench: Bench) -> float:
    documents = itertools.cycle(bench.more_documents())
    rate, ids = await series(bench.peer.insert, ((dict(document),) for document in documents), LONG_TIME)
    await bench.peer.delete_many(ids)
    return rate


async def update_long(bench: Bench) -> float:
    documents = itertools.cycle(bench.more_documents())
    return (await series(bench.peer.update, ((bench.chance.choice(bench.ids), one) for one in documents), LONG_TIME))[0]


async def insert_at_once(bench: Bench) -> float:
    ids: list[Any] = []
    start = time.perf_counter()

    async def insert_one(document: Document) -> None:
        if time.perf_counter() - start < CALLING_TIME:
            ids.append(await bench.peer.insert(document))

    documents = bench.more_documents()
    start = time.perf_counter()
    await asyncio.gather(*[insert_one(document) for document in documents])
    rate = len(ids) / (time.perf_counter() - start)
    await bench.peer.delete_many(ids)
    return rate


async def find_warm(bench: Bench) -> float:
    chosen = [(obj_id,) for obj_id in bench.some_ids(CALLS)]
    await series(bench.peer.find, chosen)
    return (await series(bench.peer.find, chosen))[0]


async def find_cold(bench: Bench) -> float:
    await bench.reopen()
    return (await series(bench.peer.find, [(obj_id,) for obj_id in bench.some_ids(COLD_CALLS)]))[0]


async def open_first(bench: Bench) -> float:
    obj_id = bench.some_ids(1)[0]
    await bench.peer.close()
    start = time.perf_counter()
    bench.peer = await bench.kind.open(bench.folder, bench.key)
    await bench.peer.find(obj_id)
    return (time.perf_counter() - start) * 1000


async def update_warm(bench: Bench) -> float:
    ids, documents = bench.some_ids(CALLS), bench.more_documents()
    await series(bench.peer.update, list(zip(ids, reversed(documents), strict=False)))
    return (await series(bench.peer.update, list(zip(ids, documents, strict=False))))[0]


async def delete(bench: Bench) -> float:
    ids = await bench.peer.insert_many(bench.more_documents())
    rate, done = await series(bench.peer.delete, [(obj_id,) for obj_id in ids])
    await bench.peer.delete_many(ids[len(done) :])
    return rate


async def save(bench: Bench) -> float:
    document = make_documents(bench.loaded, 1)[0]
    obj_id = bench.some_ids(1)[0]
    start = time.perf_counter()
    await bench.peer.update(obj_id, document)
    await bench.peer.save()
    return (time.perf_counter() - start) * 1000


async def scan(bench: Bench) -> float:
    start = time.perf_counter()
    return await bench.peer.scan() / (time.perf_counter() - start)


async def find_all(bench: Bench) -> float:
    start = time.perf_counter()
    return await bench.peer.find_all() / (time.perf_counter() - start)


async def equal(bench: Bench) -> float:
    return await milliseconds(lambda: bench.peer.equal(bench.street()))


async def contains(bench: Bench) -> float:
    return await milliseconds(lambda: bench.peer.contains(bench.tag()))


async def newest(bench: Bench) -> float:
    return await milliseconds(lambda: bench.peer.newest(20))


async def index(bench: Bench) -> float:
    start = time.perf_counter()
    await bench.peer.create_indexes()
    return (time.perf_counter() - start) * 1000


@dataclass(frozen=True)
class Work:
    name: str
    title: str
    unit: str
    """`/s`: more is better; `ms`, `MiB`: less is."""
    run: Callable[[Bench], Awaitable[float]]
    once: bool = False
    needs_file: bool = False
    indexed: bool = False
    """Done when the indexes are there."""
    up_to: int = 10**9
    """Not done with more documents."""
    least: int = 0
    """Not done with fewer."""
    peers: tuple[str, ...] = ()
    """Those that do it; all, where none are named."""


STEADY = ("PoofDB", "SQLCipher", "SQLite3MC", "LMDB + Fernet", "aiosqlite", "APSW")
"""To whom a write costs about the same however many documents there are."""

LOAD = Work("load", "bulk insert", "/s", load)
INDEX = Work("index", "create the indexes", "ms", index, once=True)
MEMORY = Work("memory", "peak memory, opened and scanned", "MiB", memory, once=True)

WORKS = (
    LOAD,
    Work("insert", "insert, one after the other", "/s", insert),
    Work("insert-at-once", f"insert, {CALLS:,} tasks at once", "/s", insert_at_once),
    Work("update", "update by id, warm", "/s", update_warm),
    Work("delete", "delete by id", "/s", delete),
    Work("find-warm", "read by id, warm", "/s", find_warm),
    Work("find-cold", "read by id, just opened", "/s", find_cold, needs_file=True),
    Work("open", "open to first document", "ms", open_first, needs_file=True),
    Work("save", "update one and save", "ms", save, needs_file=True),
    Work("scan", "scan, none kept", "/s", scan),
    Work("find-all", "all in a list", "/s", find_all, up_to=100_000),
    Work("equal", "filter, no index", "ms", equal),
    Work("contains", "array contains, no index", "ms", contains),
    Work("equal-indexed", "filter, index", "ms", equal, indexed=True),
    Work("contains-indexed", "array contains, index", "ms", contains, indexed=True),
    Work("newest", "sort and limit 20, index", "ms", newest, indexed=True),
    Work("size", "file size, with no indexes", "MiB", file_size, once=True, needs_file=True),
    MEMORY,
    Work(
        "insert-long", f"insert, for {LONG_TIME:.0f} seconds", "/s", insert_long, once=True, least=1_000, peers=STEADY
    ),
    Work(
        "update-long",
        f"update by id, for {LONG_TIME:.0f} seconds",
        "/s",
        update_long,
        once=True,
        least=1_000,
        peers=STEADY,
    ),
)
"""In the order of the tables. Each leaves as many documents as it found."""
