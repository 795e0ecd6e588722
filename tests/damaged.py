"""Cluster files with damage, and where SQLite keeps which document, so that tests know what must survive it."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import inside
from faults.watched import Call, watched
from people import KEY

from poof import PoofCluster
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import unlock
from poof.engines.sqlite.tables.catalogue import read_catalogue
from poof.engines.sqlite.tables.connections import connect
from poof.engines.sqlite.tables.schema import documents
from poof.format.layout import PAGE_SIZE, page_offset
from poof.keys.credentials import Credentials

Documents = dict[tuple[str, str], dict[str, Any]]
"""The data of documents by their ids, by database and collection."""


@dataclass(frozen=True)
class Known:
    """A cluster file, and everything about it."""

    content: bytes
    documents: Documents
    pages: dict[str, set[int]]
    """The pages of each document, by its id."""

    @property
    def count(self) -> int:
        return len(self.content) // PAGE_SIZE - 1

    @property
    def everything(self) -> dict[str, Any]:
        return {obj_id: data for found in self.documents.values() for obj_id, data in found.items()}

    def whole(self, destroyed: Iterable[int]) -> dict[str, Any]:
        """The documents that lie in none of these pages."""
        gone = set(destroyed)
        return {obj_id: data for obj_id, data in self.everything.items() if not self.pages[obj_id] & gone}


@contextlib.contextmanager
def raw_connection(path: Path, key: str = KEY) -> Iterator[apsw.Connection]:
    """A connection that may do anything to a cluster that nobody has open."""
    unlocked = unlock(read_header_block(str(path)), Credentials(key=key.encode()), str(path))
    with contextlib.closing(connect(inside.state_of(path, unlocked.key))) as connection:
        yield connection


def destroy(content: bytes, pages: Iterable[int], randomness: random.Random) -> bytes:
    """The same file, with random bytes in place of some pages."""
    damaged = bytearray(content)
    for page in pages:
        damaged[page_offset(page) : page_offset(page) + PAGE_SIZE] = randomness.randbytes(PAGE_SIZE)
    return bytes(damaged)


def with_bad_sectors(file: Path, offsets: list[int]) -> contextlib.AbstractContextManager[None]:
    """For the length of a block, the disk does not give what lies at these offsets of a file."""

    def watcher(call: Call, proceed: Callable[[], Any]) -> Any:
        if call.name == "xRead" and call.path == str(file):
            size, start = call.args
            if any(start <= offset < start + size for offset in offsets):
                raise apsw.exception_for(apsw.SQLITE_IOERR_READ)
        return proceed()

    return watched(watcher, str(file.parent))


async def everything(cluster: PoofCluster) -> Documents:
    """All documents of a cluster, in order."""
    found = {}
    for database_name in await cluster.list_database_names():
        database = await cluster.get_database(database_name)
        for name in await database.list_collection_names():
            collection = await database.get_collection(name)
            found[database_name, name] = {document.objId: document.data for document in await collection.find_all()}
    return found


async def read(path: Path, key: str = KEY) -> Documents:
    """All documents of a cluster that nobody has open."""
    async with await PoofCluster.create(path, key) as cluster:
        return await everything(cluster)


def know(path: Path) -> Known:
    """What there is to know about a cluster that nobody has open."""
    documents_found = asyncio.run(read(path))
    with raw_connection(path) as connection:
        pages = _pages_of_documents(connection)
    return Known(path.read_bytes(), documents_found, pages)


def _pages_of_documents(connection: apsw.Connection) -> dict[str, set[int]]:
    """By SQLite's own table of pages: the leaves in order, the documents in each, and their overflow pages."""
    found: dict[str, set[int]] = {}
    for collections in read_catalogue(connection).values():
        for number in collections.values():
            table = documents(number)
            ids: Any = connection.execute(f"SELECT obj_id FROM {table} ORDER BY id")
            leaves: Any = connection.execute(
                "SELECT path, pageno, ncell FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path", (table,)
            ).fetchall()
            rows = (obj_id for (obj_id,) in ids.fetchall())
            by_path: dict[str, list[str]] = {}
            for path, page, cells in leaves:
                by_path[path] = [next(rows) for _ in range(cells)]
                found.update({obj_id: {page} for obj_id in by_path[path]})
            assert next(rows, None) is None
            overflow = "SELECT path, pageno FROM dbstat WHERE name = ? AND pagetype = 'overflow'"
            pages: Any = connection.execute(overflow, (table,))
            for path, page in pages:
                leaf, cell = path.split("+")[0].rsplit("/", 1)
                found[by_path[f"{leaf}/"][int(cell, 16)]].add(page)
    return found
