"""Queries against their peers: equality with and without an index, sort and limit, membership in arrays.

    python -m pip install '.[bench]'
    python benchmarks/queries.py [--documents 100000] [--rounds 5] [--json FILE]

Everything is measured in one run on the same documents, the peers in turn within each round. The table gives the
median of the rounds in milliseconds, and the median of the peer's time over PoofDB's in a round: above 1, PoofDB is
faster. TinyDB keeps a JSON file, which it reads for each query; "TinyDB in memory" and mongomock hold all documents as
Python objects, and keep nothing. Raw APSW is SQLite with an expression index made by hand, its rows decoded by
`orjson`. None of them is encrypted.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import mongomock
import orjson
import tinydb
from cryptography.fernet import Fernet
from peers import make_document
from tinydb.storages import MemoryStorage
from tinydb.table import Table

from poof import PoofCluster, PoofCollection

STREETS = 5_000
"""How many different values the indexed field has."""
TAGS = 2_000

Work = dict[str, dict[str, Callable[[], Awaitable[int]]]]
"""For each work, what each peer does; it returns how many documents it found."""


def documents(size: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(size):
        row = make_document(number)
        row["address"] = {"street": f"Street {random.randrange(STREETS)}", "zip": number % 1000}
        row["tags"] = [f"tag{random.randrange(TAGS)}" for _ in range(3)]
        rows.append(row)
    return rows


def connect_apsw(path: Path, rows: list[dict[str, Any]]) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = wal; PRAGMA synchronous = normal; PRAGMA cache_size = -65536")
    connection.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, doc TEXT NOT NULL)")
    with connection:
        connection.executemany(
            "INSERT INTO documents (doc) VALUES (?)", ((orjson.dumps(row).decode(),) for row in rows)
        )
    connection.execute("CREATE INDEX street ON documents (json_extract(doc, '$.address.street'))")
    connection.execute("CREATE INDEX number ON documents (json_extract(doc, '$.number'))")
    return connection


def query_apsw(connection: apsw.Connection, sql: str, *parameters: Any) -> int:
    rows: Any = connection.execute(sql, parameters)
    return len([orjson.loads(text) for (text,) in rows])


def make_works(
    indexed: PoofCollection, plain: PoofCollection, connection: apsw.Connection, tiny: Any, memory: Any, mongo: Any
) -> Work:
    def street() -> str:
        return f"Street {random.randrange(STREETS)}"

    def tag() -> str:
        return f"tag{random.randrange(TAGS)}"

    async def find(collection: PoofCollection, filter_: dict[str, Any]) -> int:
        return len(await collection.find(filter_).to_list())

    async def tinydb_equal(table: Any) -> int:
        return len(table.search(tinydb.where("address").street == street()))

    async def tinydb_contains(table: Any) -> int:
        return len(table.search(tinydb.where("tags").any([tag()])))

    async def mongomock_equal() -> int:
        return len(list(mongo.find({"address.street": street()})))

    async def apsw_equal(column: str) -> int:
        return query_apsw(connection, f"SELECT doc FROM documents WHERE {column} = ?", street())

    async def apsw_sorted() -> int:
        order = "SELECT doc FROM documents ORDER BY json_extract(doc, '$.number') DESC LIMIT 20"
        return query_apsw(connection, order)

    async def poof_sorted() -> int:
        return len(await indexed.find().sort("number", -1).limit(20).to_list())

    extract = "json_extract(doc, '$.address.street')"
    return {
        "nested field equals, index": {
            "PoofDB": lambda: find(indexed, {"address.street": street()}),
            "raw APSW": lambda: apsw_equal(extract),
            "TinyDB": lambda: tinydb_equal(tiny),
            "TinyDB in memory": lambda: tinydb_equal(memory),
            "mongomock": mongomock_equal,
        },
        "nested field equals, no index": {
            "PoofDB": lambda: find(plain, {"address.street": street()}),
            "raw APSW": lambda: apsw_equal(f"+{extract}"),
            "TinyDB": lambda: tinydb_equal(tiny),
            "TinyDB in memory": lambda: tinydb_equal(memory),
            "mongomock": mongomock_equal,
        },
        "sort and limit 20, index": {"PoofDB": poof_sorted, "raw APSW": apsw_sorted},
        "array contains, index": {
            "PoofDB": lambda: find(indexed, {"tags": tag()}),
            "PoofDB without": lambda: find(plain, {"tags": tag()}),
            "TinyDB": lambda: tinydb_contains(tiny),
            "TinyDB in memory": lambda: tinydb_contains(memory),
        },
    }


async def measure(works: Work, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds, by work and peer, one for each round."""
    times: dict[str, dict[str, list[float]]] = {}
    for work, peers in works.items():
        for peer, call in peers.items():
            await call()  # warm, and its statements prepared
            times.setdefault(work, {})[peer] = []
        for number in range(rounds):
            print(f"\r{work}: round {number + 1} of {rounds}  ", end="", file=sys.stderr)
            for peer, call in peers.items():
                times[work][peer].append(await time_call(call))
    print(file=sys.stderr)
    return times


async def time_call(call: Callable[[], Awaitable[int]]) -> float:
    """Milliseconds of one call; of many quick ones, their mean."""
    calls = 0
    start = time.perf_counter()
    while calls == 0 or time.perf_counter() - start < 0.02:
        await call()
        calls += 1
    return (time.perf_counter() - start) * 1000 / calls


def report(times: dict[str, dict[str, list[float]]]) -> str:
    lines = ["| work | PoofDB | peer | its time | ratio |", "|---|---:|---|---:|---:|"]
    for work, peers in times.items():
        ours = peers["PoofDB"]
        for peer, theirs in peers.items():
            if peer != "PoofDB":
                ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
                lines.append(
                    f"| {work} | {statistics.median(ours):.3f} ms | {peer} | "
                    f"{statistics.median(theirs):.3f} ms | {ratio:.2f} |"
                )
    return "\n".join(lines)


async def run(folder: Path, size: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    rows = documents(size)
    tiny, memory = tinydb.TinyDB(folder / "tiny.json"), tinydb.TinyDB(storage=MemoryStorage)
    for database in (tiny, memory):
        database.insert_multiple(rows)
    tables = [Table(database.storage, database.default_table_name, cache_size=0) for database in (tiny, memory)]
    mongo = mongomock.MongoClient().db.documents
    mongo.insert_many([dict(row) for row in rows])
    async with await PoofCluster.create(folder / "queries.poof", Fernet.generate_key()) as cluster:
        ours = await cluster.get_database("db")
        indexed, plain = [await ours.get_collection(name) for name in ("indexed", "plain")]
        for collection in (indexed, plain):
            await collection.insert_many(rows)
        for field in ("address.street", "number", "tags"):
            await indexed.create_index(field)
        with contextlib.closing(connect_apsw(folder / "plain.db", rows)) as connection:
            return await measure(make_works(indexed, plain, connection, *tables, mongo), rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = asyncio.run(run(Path(folder), arguments.documents, arguments.rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps(times, indent=1))
    print(report(times))


if __name__ == "__main__":
    main()
