"""Where the time of PoofDB goes: for each work the pages it seals and opens, and what they and the JSON cost.

    python benchmarks/costs.py DOCUMENTS FOLDER

Prints JSON: the microseconds that one page costs, and for each work the microseconds and pages of one document.
What is left beside pages and JSON is SQLite, the system, and the interpreter that runs our part.
"""

import asyncio
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from documents import make_documents
from peers.own import Poof
from works import CALLS, COLD_CALLS, PARTS, Bench, load

from poof.document import encode_document
from poof.format.layout import CONTENT_SIZE, PAGE_SIZE, RESERVED_SIZE
from poof.format.pages import PageCodec

ROUNDS = 5
KEY = bytes(range(32))


def microseconds(call: Callable[[], object]) -> float:
    """The median of some rounds, of one call."""
    rounds = []
    for _ in range(ROUNDS * 3):
        start = time.perf_counter()
        for _ in range(100):
            call()
        rounds.append((time.perf_counter() - start) * 1e4)
    return statistics.median(rounds)


def page_costs() -> dict[str, float]:
    codec = PageCodec(KEY)
    page = os.urandom(CONTENT_SIZE) + bytes(RESERVED_SIZE)
    sealed = bytes(codec.seal(7, page))
    cipher = Cipher(algorithms.AES(KEY[16:]), modes.CBC(bytes(16)))
    encryptor, decryptor, buffer = cipher.encryptor(), cipher.decryptor(), bytearray(PAGE_SIZE + 16)
    return {
        "seal": microseconds(lambda: codec.seal(7, page)),
        "open": microseconds(lambda: codec.open(7, sealed)),
        "AES-CBC, encrypt": microseconds(lambda: encryptor.update_into(sealed, buffer)),
        "AES-CBC, decrypt": microseconds(lambda: decryptor.update_into(sealed, buffer)),
        "SHA-256": microseconds(lambda: hashlib.sha256(sealed).digest()),
    }


class Counter:
    """Counts calls of the codec."""

    def __init__(self) -> None:
        self.sealed = self.opened = 0
        seal, open_ = PageCodec.seal, PageCodec.open

        def counted_seal(codec: PageCodec, *args: Any) -> Any:
            self.sealed += 1
            return seal(codec, *args)

        def counted_open(codec: PageCodec, *args: Any) -> Any:
            self.opened += 1
            return open_(codec, *args)

        PageCodec.seal = counted_seal  # type: ignore[method-assign, assignment] # this process measures nothing else
        PageCodec.open = counted_open  # type: ignore[method-assign, assignment] # likewise


class Costs:
    """What has been measured of each work."""

    def __init__(self) -> None:
        self.counter = Counter()
        self.works: dict[str, dict[str, float]] = {}
        documents = make_documents(0, 100)
        texts = [orjson.dumps(document) for document in documents]
        self.encoding = microseconds(lambda: [encode_document(document) for document in documents]) / len(documents)
        self.decoding = microseconds(lambda: [orjson.loads(text) for text in texts]) / len(texts)

    async def note(self, work: str, count: int, of_json: float, call: Callable[[], Awaitable[Any]]) -> None:
        """Calls it some times, each time for so many documents."""
        seconds, sealed, opened = [], self.counter.sealed, self.counter.opened
        for _ in range(ROUNDS):
            start = time.perf_counter()
            await call()
            seconds.append(time.perf_counter() - start)
        self.works[work] = {
            "us": statistics.median(seconds) * 1e6 / count,
            "json": of_json,
            "sealed": (self.counter.sealed - sealed) / count / ROUNDS,
            "opened": (self.counter.opened - opened) / count / ROUNDS,
        }


async def measure_writes(costs: Costs, bench: Bench) -> None:
    count = min(bench.size, CALLS)
    inserted: list[str] = []

    async def insert() -> None:
        for document in make_documents(bench.loaded, count):
            inserted.append(await bench.peer.insert(document))

    async def update() -> None:
        """To what they were not before."""
        documents = make_documents(bench.chance.randrange(bench.size), count)
        for obj_id, document in zip(bench.some_ids(count), documents, strict=True):
            await bench.peer.update(obj_id, document)

    async def delete() -> None:
        for _ in range(count):
            await bench.peer.delete(inserted.pop(bench.chance.randrange(len(inserted))))

    async def insert_at_once() -> None:
        await asyncio.gather(*[bench.peer.insert(document) for document in make_documents(bench.loaded, count)])

    await costs.note("bulk insert", max(1, bench.size // PARTS), costs.encoding, lambda: load(bench))
    await bench.peer.save()
    await costs.note("insert, one after the other", count, costs.encoding, insert)
    await costs.note("update by id", count, costs.encoding, update)
    await costs.note("delete by id", count, 0.0, delete)
    await costs.note("insert, 1,000 tasks at once", count, costs.encoding, insert_at_once)


async def measure_reads(costs: Costs, bench: Bench) -> None:
    chosen = bench.some_ids(CALLS)

    async def find() -> None:
        for obj_id in chosen:
            await bench.peer.find(obj_id)

    async def find_cold() -> None:
        await bench.reopen()
        for obj_id in chosen[:COLD_CALLS]:
            await bench.peer.find(obj_id)

    await find()
    await costs.note("read by id, warm", len(chosen), costs.decoding, find)
    await costs.note("open, and read by id", min(len(chosen), COLD_CALLS), costs.decoding, find_cold)
    count = await bench.peer.scan()
    await costs.note("scan, none kept", count, costs.decoding, bench.peer.scan)
    await costs.note("all in a list", count, costs.decoding, bench.peer.find_all)
    await costs.note("filter, no index", count, 0.0, lambda: bench.peer.equal(bench.street()))


async def measure(folder: Path, size: int) -> dict[str, Any]:
    pages = page_costs()
    costs = Costs()
    bench = Bench(Poof, folder, KEY, size, await Poof.open(folder, KEY))
    await measure_writes(costs, bench)
    await measure_reads(costs, bench)
    await bench.peer.close()
    return {"pages": pages, "works": costs.works}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[2]), int(sys.argv[1])))))
