"""What opening a cluster and reading one document costs, as the cluster grows.

    python benchmarks/opening.py [DOCUMENTS ...]

Builds a cluster of each size (1,000 and 1,000,000 documents of about 250 bytes by default), then opens them in turn,
reads one document by id, and closes. The file is in the system's cache; the medians count.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cryptography.fernet import Fernet

from poof import PoofCluster
from poof.document import encode_document, new_object_id
from poof.storage import files, schema
from poof.storage.connections import connect
from poof.storage.operations import add_collection, add_database, transaction
from poof.storage.vfs import ClusterVFS

ROUNDS = 30
SIZES = (1_000, 1_000_000)


def build(path: Path, key: bytes, documents: int) -> str:
    """Writes a cluster of so many documents in one transaction; returns the id of one in the middle."""
    unlocked = files.new_header(files.Credentials(key=key), key)
    files.create(str(path), unlocked)
    vfs = ClusterVFS(str(path), unlocked.data_key)
    ids = [new_object_id() for _ in range(documents)]
    with contextlib.closing(connect(vfs)) as connection, transaction(connection):
        database_id = add_database(connection, "db")
        collection_id = add_collection(connection, database_id, "users")
        connection.executemany(
            schema.insert_document(collection_id),
            (
                (obj_id, encode_document({"number": number, "name": f"User {number}", "text": "x" * 200})[1])
                for number, obj_id in enumerate(ids)
            ),
        )
    vfs.unregister()
    return ids[documents // 2]


async def open_and_read(path: Path, key: bytes, obj_id: str) -> float:
    start = time.perf_counter()
    cluster = await PoofCluster.create(path, key)
    users = await (await cluster.get_database("db")).get_collection("users")
    document = await users.find_by_id(obj_id)
    seconds = time.perf_counter() - start
    assert document is not None
    await cluster.close()
    return seconds


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or list(SIZES)
    key = Fernet.generate_key()
    with tempfile.TemporaryDirectory() as folder:
        paths = {size: Path(folder) / f"{size}.poof" for size in sizes}
        ids = {size: build(path, key, size) for size, path in paths.items()}
        times: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(ROUNDS):
            for size in sizes:
                times[size].append(asyncio.run(open_and_read(paths[size], key, ids[size])))
        print("| documents | file, MiB | open and read one, ms |\n|---:|---:|---:|")
        for size in sizes:
            mib = paths[size].stat().st_size / 2**20
            print(f"| {size:,} | {mib:.1f} | {statistics.median(times[size]) * 1000:.2f} |")


if __name__ == "__main__":
    main()
