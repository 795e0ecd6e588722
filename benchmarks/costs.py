"""Where the time of PoofDB goes: for each work the pages it seals and opens, and what they and the JSON cost.

    python benchmarks/costs.py DOCUMENTS FOLDER

Prints JSON: the microseconds that one page costs, and for each work the microseconds and pages of one document.
What is left beside pages and JSON is SQLite, the system, and the interpreter that runs our part.
"""

import asyncio
import hashlib
import json
import os
import random
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
from works import CALLS, Bench, load

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
    slot = bytes(codec.seal(7, page))
    cipher = Cipher(algorithms.AES(KEY[16:]), modes.CBC(bytes(16)))
    encryptor, decryptor, buffer = cipher.encryptor(), cipher.decryptor(), bytearray(PAGE_SIZE + 16)
    return {
        "seal": microseconds(lambda: codec.seal(7, page)),
        "open": microseconds(lambda: codec.open(7, slot)),
        "AES-CBC, encrypt": microseconds(lambda: encryptor.update_into(slot, buffer)),
        "AES-CBC, decrypt": microseconds(lambda: decryptor.update_into(slot, buffer)),
        "SHA-256": microseconds(lambda: hashlib.sha256(slot).digest()),
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

        PageCodec.seal = counted_seal  # type: ignore[method-assign] # this process measures nothing else
        PageCodec.open = counted_open  # type: ignore[method-assign] # likewise


async def measure(folder: Path, size: int) -> dict[str, Any]:
    pages = page_costs()
    counter = Counter()
    bench = Bench(Poof, folder, KEY, size, await Poof.open(folder, KEY))
    works: dict[str, dict[str, float]] = {}
    sample = make_documents(0, min(size, CALLS))
    text = [orjson.dumps(document) for document in sample]
    dumps = microseconds(lambda: [encode_document(document) for document in sample[:100]]) / min(100, len(sample))
    loads = microseconds(lambda: [orjson.loads(one) for one in text[:100]]) / min(100, len(sample))

    async def note(
        work: str, count: int, json_cost: float, call: Callable[[], Awaitable[Any]], rounds: int = ROUNDS
    ) -> None:
        costs, sealed, opened = [], 0, 0
        for _ in range(rounds):
            before = counter.sealed, counter.opened
            start = time.perf_counter()
            await call()
            costs.append((time.perf_counter() - start) * 1e6 / count)
            sealed += counter.sealed - before[0]
            opened += counter.opened - before[1]
        each = count * rounds
        works[work] = {
            "us": statistics.median(costs),
            "sealed": sealed / each,
            "opened": opened / each,
            "json": json_cost,
        }

    async def one_by_one(call: Callable[..., Awaitable[Any]], arguments: list[tuple[Any, ...]]) -> None:
        for one in arguments:
            results.append(await call(*one))

    results: list[Any] = []
    some = [(document,) for document in sample]
    await note("bulk insert", max(1, size // 5), dumps, lambda: load(bench))
    peer = bench.peer
    await peer.save()
    await note("insert, one after the other", len(some), dumps, lambda: one_by_one(peer.insert, some))
    inserted = [(obj_id,) for obj_id in results]
    chosen = [(obj_id,) for obj_id in bench.some_ids(len(some))]

    async def update_all() -> None:
        """To what they were not before."""
        for (obj_id,), document in zip(chosen, make_documents(random.randrange(size), len(chosen)), strict=True):
            await peer.update(obj_id, document)

    await note("update by id", len(chosen), dumps, update_all)
    deletions = iter([inserted[first::ROUNDS] for first in range(ROUNDS)])
    await note("delete by id", len(some), 0.0, lambda: one_by_one(peer.delete, next(deletions)))
    await note(
        "insert, 1,000 tasks at once", len(some), dumps, lambda: asyncio.gather(*[peer.insert(*one) for one in some])
    )
    await note("read by id, warm", len(chosen), loads, lambda: one_by_one(peer.find, chosen))
    await bench.reopen()
    peer = bench.peer
    cold = chosen[:200]
    await note("read by id, just opened", len(cold), loads, lambda: one_by_one(peer.find, cold), rounds=1)
    await note("scan, none kept", bench.loaded, loads, peer.scan)
    await note("all in a list", bench.loaded, loads, peer.find_all)
    await note("filter, no index", bench.loaded, 0.0, lambda: peer.equal(bench.street()))
    await peer.close()
    return {"pages": pages, "works": works}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[2]), int(sys.argv[1])))))
