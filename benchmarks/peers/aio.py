"""aiosqlite: SQLite for asyncio, every call on a thread. Not encrypted."""

import json
from pathlib import Path
from typing import Self

import aiosqlite
from documents import Document

from peers import sql


class AioSQLite:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        connection = await aiosqlite.connect(folder / "aiosqlite.db")
        await connection.executescript(sql.SETTINGS)
        return cls(connection)

    async def close(self) -> None:
        await self.connection.close()

    async def insert(self, document: Document) -> str:
        obj_id = sql.new_id()
        await self.connection.execute(sql.INSERT, (obj_id, json.dumps(document)))
        await self.connection.commit()
        return obj_id

    async def insert_many(self, documents: list[Document]) -> list[str]:
        rows = [(sql.new_id(), json.dumps(document)) for document in documents]
        await self.connection.executemany(sql.INSERT, rows)
        await self.connection.commit()
        return [obj_id for obj_id, _ in rows]

    async def find(self, obj_id: str) -> Document:
        async with self.connection.execute(sql.FIND, (obj_id,)) as cursor:
            row = await cursor.fetchone()
        assert row is not None
        document: Document = json.loads(row[0])
        return document

    async def scan(self) -> int:
        count = 0
        async with self.connection.execute(sql.FIND_ALL) as cursor:
            async for _, text in cursor:
                json.loads(text)
                count += 1
        return count

    async def find_all(self) -> int:
        return await self._decode(sql.FIND_ALL)

    async def equal(self, street: str) -> int:
        return await self._decode(sql.FIND_EQUAL, street)

    async def contains(self, tag: str) -> int:
        return await self._decode(sql.FIND_CONTAINING, tag)

    async def newest(self, count: int) -> int:
        return await self._decode(sql.FIND_NEWEST, count)

    async def _decode(self, statement: str, *parameters: object) -> int:
        async with self.connection.execute(statement, parameters) as cursor:
            return len([(obj_id, json.loads(text)) for obj_id, text in await cursor.fetchall()])

    async def update(self, obj_id: str, document: Document) -> None:
        await self.connection.execute(sql.UPDATE, (json.dumps(document), obj_id))
        await self.connection.commit()

    async def delete(self, obj_id: str) -> None:
        await self.connection.execute(sql.DELETE, (obj_id,))
        await self.connection.commit()

    async def delete_many(self, ids: list[str]) -> None:
        await self.connection.executemany(sql.DELETE, [(obj_id,) for obj_id in ids])
        await self.connection.commit()

    async def save(self) -> None:
        await self.connection.execute_fetchall(sql.SAVE)

    async def create_indexes(self) -> None:
        for statement in sql.INDEXES:
            await self.connection.execute(statement)
        await self.connection.commit()
