"""TinyDB: a JSON file that is read for each call and written anew by each change, or the same in memory."""

import operator
from pathlib import Path
from typing import Self

import tinydb
from documents import Document
from tinydb.storages import MemoryStorage


class Tiny:
    def __init__(self, database: tinydb.TinyDB) -> None:
        self.database = database
        self.table = database.table("documents", cache_size=0)
        """It would remember the results of queries, until the next write."""

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        return cls(tinydb.TinyDB(folder / "tiny.json"))

    async def close(self) -> None:
        self.database.close()

    async def insert(self, document: Document) -> int:
        return self.table.insert(document)

    async def insert_many(self, documents: list[Document]) -> list[int]:
        return self.table.insert_multiple(documents)

    async def find(self, obj_id: int) -> Document:
        found = self.table.get(doc_id=obj_id)
        assert isinstance(found, dict)
        return found

    async def scan(self) -> int:
        return sum(1 for _ in self.table)

    async def find_all(self) -> int:
        return len(self.table.all())

    async def equal(self, street: str) -> int:
        return len(self.table.search(tinydb.where("address").street == street))

    async def contains(self, tag: str) -> int:
        return len(self.table.search(tinydb.where("tags").any([tag])))

    async def newest(self, count: int) -> int:
        return len(sorted(self.table.all(), key=operator.itemgetter("number"), reverse=True)[:count])

    async def update(self, obj_id: int, document: Document) -> None:
        self.table.update(document, doc_ids=[obj_id])

    async def delete(self, obj_id: int) -> None:
        self.table.remove(doc_ids=[obj_id])

    async def delete_many(self, ids: list[int]) -> None:
        self.table.remove(doc_ids=ids)

    async def save(self) -> None:
        """Each change has written the file."""

    async def create_indexes(self) -> None:
        """It has none."""


class TinyInMemory(Tiny):
    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        return cls(tinydb.TinyDB(storage=MemoryStorage))
