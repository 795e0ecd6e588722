"""Fernet by hand: a token for each document in LMDB, and the whole-file design of PoofDB 0.x."""

import base64
import heapq
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import orjson
from cryptography.fernet import Fernet
from documents import Document

MAP_SIZE = 16 << 30


class Decoded:
    """What can only go through all documents to find some."""

    def documents(self) -> Iterator[Document]:
        raise NotImplementedError

    async def scan(self) -> int:
        return sum(1 for _ in self.documents())

    async def find_all(self) -> int:
        return len(list(self.documents()))

    async def equal(self, street: str) -> int:
        return len([document for document in self.documents() if document["address"]["street"] == street])

    async def contains(self, tag: str) -> int:
        return len([document for document in self.documents() if tag in document["tags"]])

    async def newest(self, count: int) -> int:
        return len(heapq.nlargest(count, self.documents(), key=lambda document: int(document["number"])))

    async def create_indexes(self) -> None:
        """It has none."""


class LMDBTokens(Decoded):
    def __init__(self, environment: Any, fernet: Fernet) -> None:
        self.environment = environment
        self.fernet = fernet

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        import lmdb

        # Without a sync for each commit, as the others.
        environment = lmdb.open(str(folder / "lmdb"), map_size=MAP_SIZE, sync=False)
        return cls(environment, Fernet(base64.urlsafe_b64encode(key)))

    async def close(self) -> None:
        self.environment.close()

    async def insert(self, document: Document) -> bytes:
        return (await self.insert_many([document]))[0]

    async def insert_many(self, documents: list[Document]) -> list[bytes]:
        ids = [secrets.token_bytes(14) for _ in documents]
        with self.environment.begin(write=True) as transaction:
            for obj_id, document in zip(ids, documents, strict=True):
                transaction.put(obj_id, self.fernet.encrypt(orjson.dumps(document)))
        return ids

    async def find(self, obj_id: bytes) -> Document:
        with self.environment.begin() as transaction:
            document: Document = orjson.loads(self.fernet.decrypt(transaction.get(obj_id)))
            return document

    def documents(self) -> Iterator[Document]:
        with self.environment.begin() as transaction:
            for _, token in transaction.cursor():
                yield orjson.loads(self.fernet.decrypt(token))

    async def update(self, obj_id: bytes, document: Document) -> None:
        with self.environment.begin(write=True) as transaction:
            transaction.put(obj_id, self.fernet.encrypt(orjson.dumps(document)))

    async def delete(self, obj_id: bytes) -> None:
        with self.environment.begin(write=True) as transaction:
            transaction.delete(obj_id)

    async def delete_many(self, ids: list[bytes]) -> None:
        with self.environment.begin(write=True) as transaction:
            for obj_id in ids:
                transaction.delete(obj_id)

    async def save(self) -> None:
        self.environment.sync(True)


class WholeFile(Decoded):
    """All documents in memory; each write stores one token over the JSON of everything."""

    def __init__(self, path: Path, fernet: Fernet, stored: dict[str, Document]) -> None:
        self.path = path
        self.fernet = fernet
        self.stored = stored

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        path, fernet = folder / "whole.poof", Fernet(base64.urlsafe_b64encode(key))
        stored = orjson.loads(fernet.decrypt(path.read_bytes())) if path.exists() else {}
        return cls(path, fernet, stored)

    async def close(self) -> None:
        self.stored = {}

    def _write(self) -> None:
        self.path.write_bytes(self.fernet.encrypt(orjson.dumps(self.stored)))

    async def insert(self, document: Document) -> str:
        return (await self.insert_many([document]))[0]

    async def insert_many(self, documents: list[Document]) -> list[str]:
        ids = [secrets.token_urlsafe(14) for _ in documents]
        self.stored.update(zip(ids, documents, strict=True))
        self._write()
        return ids

    async def find(self, obj_id: str) -> Document:
        return self.stored[obj_id]

    def documents(self) -> Iterator[Document]:
        return iter(self.stored.values())

    async def update(self, obj_id: str, document: Document) -> None:
        self.stored[obj_id] = document
        self._write()

    async def delete(self, obj_id: str) -> None:
        await self.delete_many([obj_id])

    async def delete_many(self, ids: list[str]) -> None:
        for obj_id in ids:
            del self.stored[obj_id]
        self._write()

    async def save(self) -> None:
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
