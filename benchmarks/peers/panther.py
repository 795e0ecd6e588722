"""PantherDB: one Fernet token over the JSON of everything, read for each call and written anew by each change."""

import base64
from pathlib import Path
from typing import Self

from documents import Document
from pantherdb import PantherDB


class Panther:
    def __init__(self, database: PantherDB) -> None:
        self.database = database
        self.collection = database.collection("documents")

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        encoded = base64.urlsafe_b64encode(key)
        return cls(PantherDB(str(folder / "panther.pdb"), return_dict=True, secret_key=encoded))

    async def close(self) -> None:
        self.database.close()

    async def insert(self, document: Document) -> str:
        return str(self.collection.insert_one(**document)["_id"])

    async def insert_many(self, documents: list[Document]) -> list[str]:
        """It has nothing for many documents."""
        return [await self.insert(document) for document in documents]

    async def find(self, obj_id: str) -> Document:
        document: Document = self.collection.find_one(_id=obj_id)
        return document

    async def scan(self) -> int:
        return await self.find_all()

    async def find_all(self) -> int:
        return len(self.collection.find())

    async def equal(self, street: str) -> int:
        """Its filters do not reach into objects."""
        return len([document for document in self.collection.find() if document["address"]["street"] == street])

    async def contains(self, tag: str) -> int:
        """Nor into arrays."""
        return len([document for document in self.collection.find() if tag in document["tags"]])

    async def newest(self, count: int) -> int:
        documents = sorted(self.collection.find(), key=lambda document: int(document["number"]), reverse=True)
        return len(documents[:count])

    async def update(self, obj_id: str, document: Document) -> None:
        self.collection.update_one({"_id": obj_id}, **document)

    async def delete(self, obj_id: str) -> None:
        self.collection.delete_one(_id=obj_id)

    async def delete_many(self, ids: list[str]) -> None:
        for obj_id in ids:
            await self.delete(obj_id)

    async def save(self) -> None:
        """Each change has written the file."""

    async def create_indexes(self) -> None:
        """It has none."""
