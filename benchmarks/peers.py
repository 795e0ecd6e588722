"""The databases that are measured side by side, each doing the same work in its own usual way.

All of them hold documents of about 250 bytes under random ids of text, in a write-ahead log with `synchronous=NORMAL`,
and have 64 MiB for their page cache.
"""

import contextlib
import json
import random
import secrets
import string
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import aiosqlite
import sqlcipher3

from poof import PoofCluster

CACHE_MIB = 64
TABLE = "CREATE TABLE documents (id INTEGER PRIMARY KEY, obj_id TEXT NOT NULL UNIQUE, doc TEXT NOT NULL)"
INSERT = "INSERT INTO documents (obj_id, doc) VALUES (?, ?)"
FIND = "SELECT doc FROM documents WHERE obj_id = ?"
FIND_ALL = "SELECT obj_id, doc FROM documents ORDER BY id"
UPDATE = "UPDATE documents SET doc = ? WHERE obj_id = ?"
DELETE = "DELETE FROM documents WHERE obj_id = ?"

Document = dict[str, Any]


def make_document(number: int) -> Document:
    return {
        "number": number,
        "name": f"User {number}",
        "email": f"user{number}@example.com",
        "city": random.choice(("Paris", "Oslo", "Lima", "Kyoto")),
        "tags": ["one", "two", "three"],
        "active": number % 2 == 0,
        "text": "".join(random.choices(string.ascii_letters, k=110)),
    }


def new_id() -> str:
    return secrets.token_urlsafe(14)


class Peer(Protocol):
    """What is asked of each."""

    name: str

    async def insert(self, document: Document) -> str: ...
    async def insert_many(self, documents: list[Document]) -> list[str]: ...
    async def find(self, obj_id: str) -> Document: ...
    async def find_all(self) -> int: ...
    async def update(self, obj_id: str, document: Document) -> None: ...
    async def delete(self, obj_id: str) -> None: ...


class Poof:
    name = "PoofDB"

    def __init__(self, collection: Any) -> None:
        self.collection = collection

    async def insert(self, document: Document) -> str:
        return (await self.collection.insert(document)).objId

    async def insert_many(self, documents: list[Document]) -> list[str]:
        return list((await self.collection.insert_many(documents)).inserted_ids)

    async def find(self, obj_id: str) -> Document:
        return (await self.collection.find_by_id(obj_id)).data

    async def find_all(self) -> int:
        return len(await self.collection.find_all())

    async def update(self, obj_id: str, document: Document) -> None:
        await self.collection.update(obj_id, document)

    async def delete(self, obj_id: str) -> None:
        await self.collection.delete(obj_id)


class SQLCipher:
    """Synchronous, and so without the cost of an event loop; it holds the loop for as long as each call takes."""

    name = "sqlcipher3"

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def insert(self, document: Document) -> str:
        obj_id = new_id()
        self.connection.execute(INSERT, (obj_id, json.dumps(document)))
        return obj_id

    async def insert_many(self, documents: list[Document]) -> list[str]:
        rows = [(new_id(), document) for document in documents]
        self.connection.execute("BEGIN")
        self.connection.executemany(INSERT, ((obj_id, json.dumps(document)) for obj_id, document in rows))
        self.connection.execute("COMMIT")
        return [obj_id for obj_id, _ in rows]

    async def find(self, obj_id: str) -> Document:
        document: Document = json.loads(self.connection.execute(FIND, (obj_id,)).fetchone()[0])
        return document

    async def find_all(self) -> int:
        return len([(obj_id, json.loads(text)) for obj_id, text in self.connection.execute(FIND_ALL)])

    async def update(self, obj_id: str, document: Document) -> None:
        self.connection.execute(UPDATE, (json.dumps(document), obj_id))

    async def delete(self, obj_id: str) -> None:
        self.connection.execute(DELETE, (obj_id,))


class AioSQLite:
    """Not encrypted."""

    name = "aiosqlite"

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    async def insert(self, document: Document) -> str:
        obj_id = new_id()
        await self.connection.execute(INSERT, (obj_id, json.dumps(document)))
        await self.connection.commit()
        return obj_id

    async def insert_many(self, documents: list[Document]) -> list[str]:
        rows = [(new_id(), json.dumps(document)) for document in documents]
        await self.connection.executemany(INSERT, rows)
        await self.connection.commit()
        return [obj_id for obj_id, _ in rows]

    async def find(self, obj_id: str) -> Document:
        async with self.connection.execute(FIND, (obj_id,)) as cursor:
            row = await cursor.fetchone()
        assert row is not None
        document: Document = json.loads(row[0])
        return document

    async def find_all(self) -> int:
        async with self.connection.execute(FIND_ALL) as cursor:
            return len([(obj_id, json.loads(text)) for obj_id, text in await cursor.fetchall()])

    async def update(self, obj_id: str, document: Document) -> None:
        await self.connection.execute(UPDATE, (json.dumps(document), obj_id))
        await self.connection.commit()

    async def delete(self, obj_id: str) -> None:
        await self.connection.execute(DELETE, (obj_id,))
        await self.connection.commit()


@contextlib.asynccontextmanager
async def open_poof(folder: Path, key: str) -> AsyncIterator[Poof]:
    async with await PoofCluster.create(folder / "poof.poof", key, cache_mib=CACHE_MIB) as cluster:
        yield Poof(await (await cluster.get_database("db")).get_collection("documents"))


def connect_sqlcipher(folder: Path, key: str) -> Any:
    connection = sqlcipher3.connect(str(folder / "sqlcipher.db"), isolation_level=None)
    connection.execute(f"PRAGMA key = \"x'{key.encode().hex()[:64]}'\"")
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", f"cache_size = -{CACHE_MIB * 1024}"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextlib.asynccontextmanager
async def open_sqlcipher(folder: Path, key: str) -> AsyncIterator[SQLCipher]:
    with contextlib.closing(connect_sqlcipher(folder, key)) as connection:
        connection.execute(TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))
        yield SQLCipher(connection)


@contextlib.asynccontextmanager
async def open_aiosqlite(folder: Path, _key: str) -> AsyncIterator[AioSQLite]:
    async with aiosqlite.connect(folder / "aiosqlite.db") as connection:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", f"cache_size = -{CACHE_MIB * 1024}"):
            await connection.execute(f"PRAGMA {pragma}")
        await connection.execute(TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))
        yield AioSQLite(connection)
