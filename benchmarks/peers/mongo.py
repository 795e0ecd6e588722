"""Databases with PyMongo's interface: mongomock in memory, MontyDB in files of its default kind."""

import itertools
import time
from pathlib import Path
from typing import Any, Self

from documents import Document


class Mongo:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.collection = client.db.documents
        self.numbers = itertools.count(time.time_ns())
        """Ids that can be compared, which those of mongomock's own making cannot."""

    async def close(self) -> None:
        self.client.close()

    async def insert(self, document: Document) -> Any:
        return self.collection.insert_one({"_id": next(self.numbers), **document}).inserted_id

    async def insert_many(self, documents: list[Document]) -> list[Any]:
        rows = [{"_id": next(self.numbers), **document} for document in documents]
        return list(self.collection.insert_many(rows).inserted_ids)

    async def find(self, obj_id: Any) -> Document:
        document: Document = self.collection.find_one({"_id": obj_id})
        return document

    async def scan(self) -> int:
        return sum(1 for _ in self.collection.find())

    async def find_all(self) -> int:
        return len(list(self.collection.find()))

    async def equal(self, street: str) -> int:
        return len(list(self.collection.find({"address.street": street})))

    async def contains(self, tag: str) -> int:
        return len(list(self.collection.find({"tags": tag})))

    async def newest(self, count: int) -> int:
        return len(list(self.collection.find().sort("number", -1).limit(count)))

    async def update(self, obj_id: Any, document: Document) -> None:
        self.collection.replace_one({"_id": obj_id}, dict(document))

    async def delete(self, obj_id: Any) -> None:
        self.collection.delete_one({"_id": obj_id})

    async def delete_many(self, ids: list[Any]) -> None:
        if ids:  # the newest there are; `$in` would compare each document with each of them
            self.collection.delete_many({"_id": {"$gte": min(ids)}})

    async def save(self) -> None:
        """Each change has written the file, if there is one."""

    async def create_indexes(self) -> None:
        """Neither has indexes that would make a query faster."""


class Mock(Mongo):
    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        import mongomock

        return cls(mongomock.MongoClient())


class Monty(Mongo):
    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        import montydb

        if not (folder / "monty").exists():
            montydb.set_storage(str(folder / "monty"), use_bson=False)
        return cls(montydb.MontyClient(str(folder / "monty")))
