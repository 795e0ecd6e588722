"""PoofDB."""

import base64
from pathlib import Path
from typing import Self

from documents import Document

from peers import CACHE_MIB
from poof import PoofCluster, PoofCollection


class Poof:
    def __init__(self, cluster: PoofCluster, collection: PoofCollection) -> None:
        self.cluster = cluster
        self.collection = collection

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        cluster = await PoofCluster.create(folder / "db.poof", base64.urlsafe_b64encode(key), cache_mib=CACHE_MIB)
        return cls(cluster, await (await cluster.get_database("db")).get_collection("documents"))

    async def close(self) -> None:
        await self.cluster.close()

    async def insert(self, document: Document) -> str:
        return (await self.collection.insert(document)).objId

    async def insert_many(self, documents: list[Document]) -> list[str]:
        return list((await self.collection.insert_many(documents)).inserted_ids)

    async def find(self, obj_id: str) -> Document:
        found = await self.collection.find_by_id(obj_id)
        assert found is not None
        return found.data

    async def scan(self) -> int:
        count = 0
        async for _ in self.collection.find():
            count += 1
        return count

    async def find_all(self) -> int:
        return len(await self.collection.find_all())

    async def equal(self, street: str) -> int:
        return len(await self.collection.find({"address.street": street}).to_list())

    async def contains(self, tag: str) -> int:
        return len(await self.collection.find({"tags": tag}).to_list())

    async def newest(self, count: int) -> int:
        return len(await self.collection.find().sort("number", -1).limit(count).to_list())

    async def update(self, obj_id: str, document: Document) -> None:
        await self.collection.update(obj_id, document)

    async def delete(self, obj_id: str) -> None:
        await self.collection.delete(obj_id)

    async def delete_many(self, ids: list[str]) -> None:
        async with self.cluster.transaction():
            for obj_id in ids:
                await self.collection.delete(obj_id)

    async def save(self) -> None:
        await self.cluster.save()

    async def create_indexes(self) -> None:
        for field in ("address.street", "number", "tags"):
            await self.collection.create_index(field)
